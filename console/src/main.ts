import "./ui/icon.js";
import "./app.js";

-- Prices that an admin has set, over the published ones and those of the operator's file. `amounts` is JSON.
CREATE TABLE price (
    model TEXT NOT NULL,
    since TEXT NOT NULL,
    amounts TEXT NOT NULL,
    PRIMARY KEY (model, since)
);

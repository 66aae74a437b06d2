-- runs: one row a published run.
-- room: manifest
-- path: none
-- grain: run
CREATE TABLE runs (
    run        VARCHAR NOT NULL,   -- start time and a random suffix
    stage      VARCHAR NOT NULL,   -- import, extract, learn, score, eval ...
    started_at TIMESTAMP NOT NULL, -- UTC
    seconds    DOUBLE NOT NULL,    -- wall clock
    tables     VARCHAR NOT NULL,   -- names of the tables it wrote, joined by commas
    partitions BIGINT NOT NULL,    -- partitions published
    rows       BIGINT NOT NULL,    -- rows published
    bytes      BIGINT NOT NULL,    -- bytes published
    versions   VARCHAR NOT NULL,   -- JSON: library versions
    identity   VARCHAR NOT NULL,   -- JSON: identity hash of every partition
    provenance VARCHAR NOT NULL    -- JSON: device, batches and whatever else was recorded but is not compared
);

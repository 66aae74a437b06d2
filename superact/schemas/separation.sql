-- separation: how far in-concept test tokens stand from out-of-concept ones, and what the tail holds.
-- room: metrics
-- path: dataset, model, layer, concept_set
-- grain: dataset, model, layer, concept_set, label
CREATE TABLE separation (
    dataset        VARCHAR NOT NULL, -- path key: slug of the dataset; its display name stands in table datasets
    model          VARCHAR NOT NULL, -- path key: slug of the model; its display name stands in table models
    layer          INTEGER NOT NULL, -- path key: index into Hugging Face hidden_states: 0 = embedding output, k = after block k
    concept_set    VARCHAR NOT NULL, -- path key: slug of one set of concept vectors; table concept_sets says how it was made
    method         VARCHAR NOT NULL, -- how the vectors were obtained: avg, linsep, kmeans, kmeans-linsep, sae, imported
    label          VARCHAR NOT NULL, -- name of a ground-truth concept
    concept        VARCHAR,          -- that selected for detector superactivator; without a selection a supervised label's own
    delta          DOUBLE,           -- the delta selected for it
    overlap        DOUBLE,           -- sum over bins of the smaller mass; NULL where a group is empty
    auc            DOUBLE,           -- P(in > out) + P(in = out) / 2
    cohens_d       DOUBLE,           -- difference of means over the pooled deviation, ddof 1
    tail_mass      DOUBLE,           -- share of in-concept tokens at or above the selected threshold; NULL without a token label
    tail_coverage  DOUBLE,           -- share of the samples with the label that own a token there
    tail_precision DOUBLE,           -- in-concept share of the in- and out-of-concept tokens there
    n_in           BIGINT,           -- in-concept tokens
    n_out          BIGINT,           -- out-of-concept tokens
    run            VARCHAR NOT NULL  -- the run that computed this row: joins table runs
);

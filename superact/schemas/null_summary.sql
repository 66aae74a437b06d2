-- null_summary: what the same search over deltas, layers and concepts finds when labels are shuffled among samples.
-- room: metrics
-- path: dataset, model, concept_set, unit
-- grain: dataset, model, concept_set, unit, layer_choice, layer, detector, shuffle
CREATE TABLE null_summary (
    dataset      VARCHAR NOT NULL, -- path key: slug of the dataset; its display name stands in table datasets
    model        VARCHAR NOT NULL, -- path key: slug of the model; its display name stands in table models
    concept_set  VARCHAR NOT NULL, -- path key: slug of one set of concept vectors; table concept_sets says how it was made
    unit         VARCHAR NOT NULL, -- path key: token, or cls: the CLS token of an image, the mean over content tokens of a text
    layer_choice VARCHAR NOT NULL, -- fixed: one layer for all labels; best: each label at the layer chosen on its shuffled cal
    layer        INTEGER,          -- the layer; NULL when layer_choice is best
    method       VARCHAR NOT NULL, -- how the vectors were obtained: avg, linsep, kmeans, kmeans-linsep, sae, imported
    detector     VARCHAR NOT NULL, -- superactivator, max_token, mean_token, last_token, random_token or cls
    shuffle      INTEGER NOT NULL, -- number of the shuffle, from 0
    f1_cal       DOUBLE,           -- F1 on cal at what was chosen there, mean over labels weighted by test positives
    f1           DOUBLE,           -- F1 on test at what was chosen on cal, mean over labels weighted by test positives
    n_labels     BIGINT NOT NULL,  -- labels with a selection and a test positive
    n_positive   BIGINT NOT NULL,  -- their test positives, the sum of weights
    run          VARCHAR NOT NULL  -- the run that computed this row: joins table runs
);

-- localization: token-level confusion of one localizer: the whole grid on cal, the chosen row on test.
-- room: metrics
-- path: dataset, model, layer, concept_set
-- grain: dataset, model, layer, concept_set, label, localizer, split, quantile
CREATE TABLE localization (
    dataset     VARCHAR NOT NULL, -- path key: slug of the dataset; its display name stands in table datasets
    model       VARCHAR NOT NULL, -- path key: slug of the model; its display name stands in table models
    layer       INTEGER NOT NULL, -- path key: index into Hugging Face hidden_states: 0 = embedding output, k = after block k
    concept_set VARCHAR NOT NULL, -- path key: slug of one set of concept vectors; table concept_sets says how it was made
    method      VARCHAR NOT NULL, -- how the vectors were obtained: avg, linsep, kmeans, kmeans-linsep, sae, imported
    label       VARCHAR NOT NULL, -- name of a ground-truth concept
    localizer   VARCHAR NOT NULL, -- concept_vector, superactivator_global, superactivator_local, random, always or never
    split       VARCHAR NOT NULL, -- train (learn vectors), cal (choose), test (report)
    quantile    DOUBLE NOT NULL,  -- level of the token threshold (concept_vector), of the cosines (superactivator_*), 1 - rate (floors)
    concept     VARCHAR,          -- the concept selected for detector superactivator; NULL for the floors
    delta       DOUBLE,           -- the delta selected for it; NULL for the floors
    tp          BIGINT,           -- true positives
    fp          BIGINT,           -- false positives
    fn          BIGINT,           -- false negatives
    tn          BIGINT,           -- true negatives
    precision   DOUBLE,           -- tp / (tp + fp), 0 if 0/0
    recall      DOUBLE,           -- tp / (tp + fn)
    f1          DOUBLE,           -- 2 tp / (2 tp + fp + fn)
    accuracy    DOUBLE,           -- (tp + tn) / n
    iou         DOUBLE,           -- tp / (tp + fp + fn)
    run         VARCHAR NOT NULL  -- the run that computed this row: joins table runs
);

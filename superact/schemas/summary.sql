-- summary: test measures of one detector averaged over labels, with a bootstrap interval.
-- room: metrics
-- path: dataset, model, concept_set, unit
-- grain: dataset, model, concept_set, unit, layer_choice, layer, detector
CREATE TABLE summary (
    dataset         VARCHAR NOT NULL, -- path key: slug of the dataset; its display name stands in table datasets
    model           VARCHAR NOT NULL, -- path key: slug of the model (of a prompt the answering one); its name stands in table models
    concept_set     VARCHAR NOT NULL, -- path key: slug of one set of concept vectors; table concept_sets says how it was made; or prompt
    unit            VARCHAR NOT NULL, -- path key: token, cls (CLS token of an image, mean over content tokens of a text) or sample (prompt)
    layer_choice    VARCHAR NOT NULL, -- fixed: one layer for all labels, or a prompt; best: each label at the layer of layer_selection
    layer           INTEGER,          -- the layer; NULL when layer_choice is best, and of a prompt
    method          VARCHAR NOT NULL, -- how the vectors were obtained: avg, linsep, kmeans, kmeans-linsep, sae, imported; or prompt
    detector        VARCHAR NOT NULL, -- superactivator, max_token, mean_token, last_token, random_token, cls or prompt
    f1              DOUBLE,           -- mean over labels weighted by test positives
    precision       DOUBLE,           -- weighted by test positives
    recall          DOUBLE,           -- weighted by test positives
    macro_f1        DOUBLE,           -- macro-averaged f1
    macro_precision DOUBLE,           -- macro-averaged precision
    macro_recall    DOUBLE,           -- macro-averaged recall
    micro_f1        DOUBLE,           -- f1 of the summed counts
    micro_precision DOUBLE,           -- precision of the summed counts
    micro_recall    DOUBLE,           -- recall of the summed counts
    n_labels        BIGINT NOT NULL,  -- labels with a selection (of a prompt, that were asked about) and a test positive
    n_positive      BIGINT NOT NULL,  -- their test positives, the sum of weights
    ci_low          DOUBLE,           -- 2.5 % quantile of the weighted F1 over bootstrap replicates of the test samples
    ci_high         DOUBLE,           -- 97.5 % quantile
    run             VARCHAR NOT NULL  -- the run that computed this row: joins table runs
);

-- prompt_localization: token-level confusion of where a prompted model says the label is, on the test samples it was asked about.
-- room: metrics
-- path: dataset, model, tokens_of
-- grain: dataset, model, tokens_of, label
CREATE TABLE prompt_localization (
    dataset   VARCHAR NOT NULL, -- path key: slug of the dataset; its display name stands in table datasets
    model     VARCHAR NOT NULL, -- path key: slug of the answering model; its display name stands in table models
    tokens_of VARCHAR NOT NULL, -- path key: slug of the model whose tokens the places were mapped to
    label     VARCHAR NOT NULL, -- name of a ground-truth concept: evaluated, and asked about
    tp        BIGINT NOT NULL,  -- true positives: content tokens that the model points at and that carry the label
    fp        BIGINT NOT NULL,  -- false positives
    fn        BIGINT NOT NULL,  -- false negatives, those of samples that were not answered yes included
    tn        BIGINT NOT NULL,  -- true negatives
    precision DOUBLE NOT NULL,  -- tp / (tp + fp), 0 if 0/0
    recall    DOUBLE NOT NULL,  -- tp / (tp + fn)
    f1        DOUBLE NOT NULL,  -- 2 tp / (2 tp + fp + fn)
    accuracy  DOUBLE NOT NULL,  -- (tp + tn) / n
    iou       DOUBLE NOT NULL,  -- tp / (tp + fp + fn)
    run       VARCHAR NOT NULL  -- the run that computed this row: joins table runs
);

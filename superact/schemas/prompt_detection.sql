-- prompt_detection: sample-level confusion of a prompted model's answers on the test samples that it was asked about.
-- room: metrics
-- path: dataset, model
-- grain: dataset, model, label
CREATE TABLE prompt_detection (
    dataset     VARCHAR NOT NULL, -- path key: slug of the dataset; its display name stands in table datasets
    model       VARCHAR NOT NULL, -- path key: slug of the answering model; its display name stands in table models
    label       VARCHAR NOT NULL, -- name of a ground-truth concept: evaluated, and asked about
    tp          BIGINT NOT NULL,  -- true positives: answered yes, and the sample carries the label
    fp          BIGINT NOT NULL,  -- false positives
    fn          BIGINT NOT NULL,  -- false negatives: answered no or unparsed
    tn          BIGINT NOT NULL,  -- true negatives: answered no or unparsed
    precision   DOUBLE NOT NULL,  -- tp / (tp + fp), 0 if 0/0
    recall      DOUBLE NOT NULL,  -- tp / (tp + fn)
    f1          DOUBLE NOT NULL,  -- 2 tp / (2 tp + fp + fn)
    accuracy    DOUBLE NOT NULL,  -- (tp + tn) / n_questions
    fpr         DOUBLE NOT NULL,  -- fp / (fp + tn)
    n_unparsed  BIGINT NOT NULL,  -- replies that are neither yes nor no: not detected
    n_yes       BIGINT NOT NULL,  -- questions answered yes
    n_questions BIGINT NOT NULL,  -- test samples asked about the label; summary has the model when every one was
    run         VARCHAR NOT NULL  -- the run that computed this row: joins table runs
);

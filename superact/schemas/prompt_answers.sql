-- prompt_answers: what a prompted model answered when asked whether a sample carries a label.
-- room: tables
-- path: dataset, model
-- grain: dataset, model, sample, label
CREATE TABLE prompt_answers (
    dataset            VARCHAR NOT NULL, -- path key: slug of the dataset; its display name stands in table datasets
    model              VARCHAR NOT NULL, -- path key: slug of the answering model; its display name stands in table models
    sample             INTEGER NOT NULL, -- 0-based row of the dataset's metadata.csv
    label              VARCHAR NOT NULL, -- name of a ground-truth concept
    answer             VARCHAR NOT NULL, -- yes, no or unparsed: the reply is neither, or both
    reply              VARCHAR NOT NULL, -- what the model replied, as it came
    localization_reply VARCHAR           -- what it replied when asked where, as it came; NULL unless it said yes and was asked
);

# Base weights of every model: checked, recorded, and put in one place, wherever they come from.


# A cluster's nodes may have no way to the hub; where it was submitted from has one, or nothing has.
localrules:
    prepare_weights,


rule prepare_weights:
    input:
        settings=weights_settings,
    output:
        weights=f"{PREPARED}/{{model}}/model.safetensors",
        config=f"{PREPARED}/{{model}}/config.json",
        provenance=f"{PREPARED}/{{model}}/provenance.json",
    log:
        "logs/prepare_weights/{model}.log",
    wildcard_constraints:
        model="|".join(VARIANTS),
    conda:
        ENVIRONMENT
    params:
        folder=subpath(output.weights, parent=True),
        source=weights_source,
        licence=licence_note,
    message:
        "Check and copy the weights of {wildcards.model}, from: {params.source}{params.licence}"
    shell:
        '"$PYTHON" -m workflow_scripts.steps.prepare_weights --model {wildcards.model} --source {params.source:q}'
        " --output {params.folder} &> {log}"


rule weights:
    input:
        weights=[
            f"{PREPARED}/{name}/model.safetensors"
            for name in dict.fromkeys(map(weights_folder_of, study.models))
        ],


# How the embedded models in weights/embedded were made. No part of a study: `snakemake pretrain` makes them anew.
rule pretrain_model:
    input:
        settings=pretraining_settings,
    output:
        weights="weights/pretrained/{model}/model.safetensors",
        config="weights/pretrained/{model}/config.json",
        provenance="weights/pretrained/{model}/provenance.json",
        card="weights/pretrained/{model}/README.md",
    log:
        "logs/pretrain_model/{model}.log",
    benchmark:
        "logs/pretrain_model/{model}.benchmark.tsv"
    wildcard_constraints:
        model="|".join(STAND_INS),
    conda:
        ENVIRONMENT
    params:
        folder=subpath(output.weights, parent=True),
    message:
        "Pre-train {wildcards.model} on synthetic series"
    shell:
        '"$PYTHON" -m workflow_scripts.steps.pretrain_model --model {wildcards.model} --settings {input.settings}'
        " --output {params.folder} &> {log}"


rule pretrain:
    input:
        weights=expand(rules.pretrain_model.output.weights, model=STAND_INS),


rule list_models:
    log:
        "logs/list_models.txt",
    conda:
        ENVIRONMENT
    message:
        "List every model; {log} keeps the list"
    shell:
        '"$PYTHON" -m workflow_scripts.steps.list_models 2>&1 | tee {log}'

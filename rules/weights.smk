# Base weights of every model: the embedded ones are made here, the published ones checked and copied.


rule pretrain_model:
    input:
        settings=lambda wildcards: step_settings(
            "weights",
            "pretrain_model",
            ["pretraining"],
            family_code(wildcards.model),
            wildcards.model,
        ),
    output:
        weights="weights/{model}/model.safetensors",
        config="weights/{model}/config.json",
        provenance="weights/{model}/provenance.json",
    log:
        "logs/pretrain_model/{model}.log",
    benchmark:
        "logs/pretrain_model/{model}.benchmark.tsv"
    wildcard_constraints:
        model="|".join(EMBEDDED_MODELS),
    conda:
        "../envs/study.yaml"
    params:
        folder=subpath(output.weights, parent=True),
    message:
        "Pre-train {wildcards.model} on synthetic series"
    shell:
        "python -m workflow_scripts.pretrain_model --model {wildcards.model} --settings {input.settings}"
        " --output {params.folder} &> {log}"


rule prepare_weights:
    input:
        settings=lambda wildcards: step_settings(
            "weights",
            "prepare_weights",
            name=wildcards.model,
            source=study.weights.get(wildcards.model, "hub"),
        ),
    output:
        weights="weights/{model}/model.safetensors",
        config="weights/{model}/config.json",
        provenance="weights/{model}/provenance.json",
    log:
        "logs/prepare_weights/{model}.log",
    wildcard_constraints:
        model="|".join(PUBLISHED_MODELS),
    conda:
        "../envs/study.yaml"
    params:
        folder=subpath(output.weights, parent=True),
        source=lambda wildcards: study.weights.get(wildcards.model, "hub"),
    message:
        "Check and copy the weights of {wildcards.model}"
    shell:
        "python -m workflow_scripts.prepare_weights --model {wildcards.model} --source {params.source:q}"
        " --output {params.folder} &> {log}"


rule weights:
    input:
        weights=expand("weights/{model}/model.safetensors", model=study.models),


rule list_models:
    log:
        "logs/list_models.txt",
    conda:
        "../envs/study.yaml"
    message:
        "List every model; {log} keeps the list"
    shell:
        "python -m workflow_scripts.list_models 2>&1 | tee {log}"

-- Trauma: the first hospital service is trauma surgery (TRAUM), or an injury of the trauma registries is coded.
--
-- Citation: American College of Surgeons, National Trauma Data Standard, data dictionary for admissions of 2008 and
--   later, patient inclusion criteria: at least one ICD-9-CM diagnosis of 800 to 959.9, without late effects of
--   injuries (905-909), superficial injuries (910-924) and foreign bodies (930-939). The service: documentation of
--   MIMIC-III's table SERVICES.
-- Codes: ICD-9-CM, written without the dot as in MIMIC-III; any position. Isolated hip fractures are in.
-- Diagnoses and services belong to the admission, so every ICU stay of such an admission meets the definition.
--
-- Result: one row per ICU stay that meets the definition.
--   icustay_id  the stay
--   onset       always NULL: the time of the injury is not recorded
SELECT
    icustay_id,
    CAST(NULL AS TIMESTAMP) AS onset
FROM icustays
WHERE
    hadm_id IN (
        SELECT hadm_id
        FROM services
        GROUP BY hadm_id
        HAVING arg_min(curr_service, (transfertime, curr_service)) = 'TRAUM'
    )
    OR hadm_id IN (
        SELECT hadm_id
        FROM diagnoses_icd
        WHERE
            left(icd9_code, 3) BETWEEN '800' AND '959'
            AND left(icd9_code, 3) NOT BETWEEN '905' AND '924'
            AND left(icd9_code, 3) NOT BETWEEN '930' AND '939'
    )

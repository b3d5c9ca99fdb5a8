-- Sepsis with acute organ failure after Martin: a septicaemia code together with an organ failure code.
--
-- Citation: Martin GS, Mannino DM, Eaton S, Moss M. The epidemiology of sepsis in the United States from 1979
--   through 2000. N Engl J Med 2003;348(16):1546-1554 (septicaemia in the methods, organ failure in its table).
-- Codes: from the paper, compared with mimic-code's `martin` concept for MIMIC-III. Differences from that concept:
--   - plague: the paper prints 020.0 (bubonic), mimic-code reads it as 020.2 (septicaemic); both are taken here;
--   - ventilation: the paper's 96.7 is stored as 96.70-96.72 in MIMIC-III, and all three are taken here;
--   - the flags of the organ systems are not given, only the stays that meet the definition.
--   A listed code includes all its subdivisions (038 includes 038.42). Codes are written without the dot.
-- Diagnoses belong to the admission, so every ICU stay of such an admission meets the definition.
--
-- Result: one row per ICU stay that meets the definition.
--   icustay_id  the stay
--   onset       always NULL: billing codes have no time
WITH septicaemia AS (
    SELECT DISTINCT hadm_id
    FROM diagnoses_icd
    WHERE
        left(icd9_code, 3) = '038' -- septicaemia
        OR left(icd9_code, 4) IN (
            '0200', '0202', -- plague
            '7907', -- bacteraemia
            '1179', -- disseminated fungal infection
            '1125'  -- disseminated candida infection
        )
        OR left(icd9_code, 5) = '11281' -- disseminated fungal endocarditis
),

organ_failure AS (
    SELECT DISTINCT hadm_id
    FROM diagnoses_icd
    WHERE
        left(icd9_code, 5) IN ('51881', '51882', '51885', '78609') -- respiratory
        OR left(icd9_code, 4) = '7991' -- respiratory arrest
        OR left(icd9_code, 4) IN ('4580', '4588', '4589', '7855', '7963') -- cardiovascular
        OR left(icd9_code, 3) IN ('580', '584', '585') -- renal
        OR left(icd9_code, 3) = '570' -- hepatic
        OR left(icd9_code, 4) IN ('5722', '5733') -- hepatic
        OR left(icd9_code, 4) IN ('2862', '2866', '2869', '2873', '2874', '2875') -- haematological
        OR left(icd9_code, 4) = '2762' -- metabolic: acidosis
        OR left(icd9_code, 3) = '293' -- neurological
        OR left(icd9_code, 4) IN ('3481', '3483') -- neurological
        OR left(icd9_code, 5) IN ('78001', '78009') -- neurological
    UNION
    SELECT DISTINCT hadm_id
    FROM procedures_icd
    WHERE icd9_code IN (
        '9670', '9671', '9672', -- mechanical ventilation
        '3995', -- haemodialysis
        '8914'  -- electroencephalography
    )
)

SELECT
    icustay_id,
    CAST(NULL AS TIMESTAMP) AS onset
FROM icustays
WHERE
    hadm_id IN (SELECT hadm_id FROM septicaemia)
    AND hadm_id IN (SELECT hadm_id FROM organ_failure)

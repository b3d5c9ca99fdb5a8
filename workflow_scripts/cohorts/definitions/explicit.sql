-- Explicitly coded sepsis: severe sepsis (ICD-9-CM 995.92) or septic shock (785.52).
--
-- Citation: Iwashyna TJ, Odden A, Rohde J, et al. Identifying patients with severe sepsis using administrative
--   claims: patient-level validation of the Angus implementation. Med Care 2014;52(6):e39-43 (very specific,
--   insensitive). The counterpart of the charted diagnoses "sepsis" and "septic shock" of the LoRA study.
-- Codes: ICD-9-CM, written without the dot as in MIMIC-III; the same two codes as mimic-code's `explicit` concept.
-- Diagnoses belong to the admission, so every ICU stay of a coded admission meets the definition.
--
-- Result: one row per ICU stay that meets the definition.
--   icustay_id  the stay
--   onset       always NULL: billing codes have no time
SELECT
    icustay_id,
    CAST(NULL AS TIMESTAMP) AS onset
FROM icustays
WHERE hadm_id IN (
    SELECT hadm_id
    FROM diagnoses_icd
    WHERE icd9_code IN (
        '99592', -- severe sepsis
        '78552'  -- septic shock
    )
)

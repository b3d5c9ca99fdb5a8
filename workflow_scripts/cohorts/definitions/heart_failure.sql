-- Heart failure: a heart failure code in any position, among them the hypertensive and rheumatic forms.
--
-- Citation: Elixhauser A, Steiner C, Harris DR, Coffey RM. Comorbidity measures for use with administrative data.
--   Med Care 1998;36(1):8-27, with the codes of AHRQ's comorbidity software 3.7 for congestive heart failure (and
--   for hypertension with heart failure); compared with mimic-code's `elixhauser_ahrq_v37` for MIMIC-III.
--   Unlike a comorbidity, the principal diagnosis counts too, and no diagnosis-related group is left out.
-- Codes: ICD-9-CM, written without the dot as in MIMIC-III. Cardiomyopathies (425), which Quan's list adds, are out.
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
    WHERE
        left(icd9_code, 3) = '428' -- heart failure
        OR icd9_code IN (
            '39891', -- rheumatic heart failure
            '40201', '40211', '40291', -- hypertensive heart disease with heart failure
            '40401', '40403', '40411', '40413', '40491', '40493' -- the same with kidney disease
        )
)

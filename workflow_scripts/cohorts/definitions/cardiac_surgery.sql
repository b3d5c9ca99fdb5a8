-- Cardiac surgery: the first hospital service of the admission is cardiac surgery (CSURG).
--
-- Citation: Johnson AEW, Pollard TJ, Shen L, et al. MIMIC-III, a freely accessible critical care database. Sci Data
--   2016;3:160035, and the documentation of its table SERVICES: the service says who cares for a patient, while the
--   ward may be another's because of beds. As in mimic-code, a service counts from its TRANSFERTIME.
-- The first service is the one that admits: patients who come to cardiac surgery later, as a complication, are out.
-- Services belong to the admission, so every ICU stay of such an admission meets the definition.
--
-- Result: one row per ICU stay that meets the definition.
--   icustay_id  the stay
--   onset       always NULL: the time of the operation is not recorded
SELECT
    icustay_id,
    CAST(NULL AS TIMESTAMP) AS onset
FROM icustays
WHERE hadm_id IN (
    SELECT hadm_id
    FROM services
    GROUP BY hadm_id
    HAVING arg_min(curr_service, (transfertime, curr_service)) = 'CSURG'
)

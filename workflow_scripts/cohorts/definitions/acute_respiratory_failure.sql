-- Acute hypoxaemic respiratory failure: a PaO2/FiO2 of 300 mmHg or less in an arterial blood gas under invasive
-- ventilation.
--
-- Citation: ARDS Definition Task Force; Ranieri VM, Rubenfeld GD, Thompson BT, et al. Acute respiratory distress
--   syndrome: the Berlin definition. JAMA 2012;307(23):2526-2533 (its limit of oxygenation); acute hypoxaemic
--   respiratory failure as in Bellani G, Laffey JG, Pham T, et al. (LUNG SAFE). JAMA 2016;315(8):788-800.
--   Imaging and the pressure at the end of expiration (at least 5 cmH2O there) are not asked for.
-- Chosen over billing codes (518.81 and others), because a blood gas has a time and does not depend on billing.
-- Needs: blood_gases
-- Onset: required
-- Result: one row per ICU stay that meets the definition.
--   icustay_id  the stay
--   onset       time of the first such blood gas
SELECT
    icustay_id,
    min(charttime) AS onset
FROM blood_gases
WHERE ventilated AND ratio <= 300
GROUP BY icustay_id

-- Septic shock: sepsis (Sepsis-3) in which a vasopressor runs while the last lactate is above 2 mmol/L.
--
-- Citation: Shankar-Hari M, Phillips GS, Levy ML, et al. Developing a new definition and assessing new clinical criteria
--   for septic shock (Sepsis-3). JAMA 2016;315(8):775-787: vasopressors needed to keep a mean arterial pressure of
--   65 mmHg, and a lactate above 2 mmol/L, despite adequate fluids.
-- A running vasopressor stands for the need of one: neither its target nor the adequacy of fluids is charted.
-- Dobutamine is an inotrope and does not count. A lactate holds until the next one, and for 24 hours at most.
-- Needs: sepsis_onsets, vasopressors, laboratory
-- Onset: required
-- Result: one row per ICU stay that meets the definition.
--   icustay_id  the stay
--   onset       first time from the first hour of sepsis on at which both hold; by the choice `onset` not before the
--               sepsis is known
WITH lactates AS (
    SELECT
        icustay_id,
        lactate,
        charttime AS starttime,
        least(
            charttime + INTERVAL 24 HOUR,
            lead(charttime) OVER (PARTITION BY icustay_id ORDER BY charttime)
        ) AS endtime
    FROM laboratory
    WHERE lactate IS NOT NULL
)

SELECT
    icustay_id,
    greatest(
        min(greatest(first_hour, vasopressors.starttime, lactates.starttime)),
        CASE getvariable('onset') WHEN 'knowable' THEN min(knowable) END
    ) AS onset
FROM sepsis_onsets
JOIN vasopressors USING (icustay_id)
JOIN lactates USING (icustay_id)
WHERE
    drug != 'dobutamine'
    AND rate > 0
    AND lactate > 2
    AND greatest(first_hour, vasopressors.starttime, lactates.starttime)
        < least(vasopressors.endtime, lactates.endtime)
GROUP BY icustay_id

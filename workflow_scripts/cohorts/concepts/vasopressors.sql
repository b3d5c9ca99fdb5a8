-- Infusions of vasopressors and inotropes. CareVue charts rates at moments: a rate holds until the drug's next charting
-- unless it is charted as stopped. MetaVision charts intervals; rewritten orders were never given.
-- Rates per minute alone are divided by the weight, or by 80 kg where none is charted.
--
-- Source: MIT-LCP/mimic-code, mimic-iii/concepts/durations/{norepinephrine,epinephrine,dopamine,dobutamine,
--   phenylephrine,vasopressin}_dose.sql. Their long derivation of CareVue's intervals comes down to the one rule above.
--   There, phenylephrine and vasopressin stay in the charted unit; SOFA does not count them.
-- Needs: weight
-- Result: icustay_id, drug, starttime (exclusive), endtime (inclusive), rate (norepinephrine, epinephrine, dopamine,
--   dobutamine and phenylephrine: mcg/kg/min; vasopressin: as charted).
WITH items (itemid, drug, by_weight) AS (
    VALUES
    (30047, 'norepinephrine', false), (30120, 'norepinephrine', true), (221906, 'norepinephrine', true),
    (30044, 'epinephrine', false), (30119, 'epinephrine', true), (30309, 'epinephrine', true),
    (221289, 'epinephrine', true),
    (30043, 'dopamine', true), (30307, 'dopamine', true), (221662, 'dopamine', true),
    (30042, 'dobutamine', true), (30306, 'dobutamine', true), (221653, 'dobutamine', true),
    (30127, 'phenylephrine', false), (30128, 'phenylephrine', true), (221749, 'phenylephrine', true),
    (30051, 'vasopressin', true), (222315, 'vasopressin', true)
),

charted AS (
    SELECT
        inputevents_cv.icustay_id,
        drug,
        charttime,
        max(CASE WHEN by_weight THEN rate ELSE rate / coalesce(weight, 80) END) AS rate,
        bool_or(coalesce(stopped = 'Stopped' OR stopped LIKE 'D/C%', false)) AS stopped
    FROM inputevents_cv
    JOIN items USING (itemid)
    LEFT JOIN weight
        ON inputevents_cv.icustay_id = weight.icustay_id
        AND NOT by_weight
        AND charttime BETWEEN weight.starttime AND weight.endtime
    WHERE inputevents_cv.icustay_id IS NOT NULL
    GROUP BY inputevents_cv.icustay_id, drug, charttime
),

followed AS (
    SELECT
        *,
        lead(charttime) OVER (PARTITION BY icustay_id, drug ORDER BY charttime) AS next_time
    FROM charted
)

SELECT icustay_id, drug, charttime AS starttime, next_time AS endtime, rate
FROM followed
WHERE rate > 0 AND NOT stopped AND next_time IS NOT NULL
UNION ALL
SELECT icustay_id, drug, starttime, endtime, rate
FROM inputevents_mv
JOIN items USING (itemid)
WHERE statusdescription != 'Rewritten' AND icustay_id IS NOT NULL

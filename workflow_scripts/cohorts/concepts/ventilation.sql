-- Invasive mechanical ventilation of an ICU stay. A charted ventilator setting begins or continues an event; more than
-- 8 hours between settings, oxygen by mask or cannula, or an extubation end it. An event with a single time is none.
--
-- Source: MIT-LCP/mimic-code, mimic-iii/concepts/durations/ventilation_classification.sql and
--   ventilation_durations.sql. Its items for oxygen flow alone decide nothing there, and are not read here.
-- Result: icustay_id, starttime, endtime (both inclusive; the events of a stay do not overlap).
WITH charted AS (
    SELECT
        icustay_id,
        charttime,
        bool_or(CASE itemid
            WHEN 720 THEN value != 'Other/Remarks'
            WHEN 223848 THEN value != 'Other'
            WHEN 467 THEN value = 'Ventilator'
            ELSE itemid NOT IN (640, 226732)
        END) AS on_ventilator,
        bool_or(
            itemid = 226732 AND rtrim(value) IN (
                'Nasal cannula', 'Face tent', 'Aerosol-cool', 'Trach mask', 'High flow neb', 'Non-rebreather',
                'Venti mask', 'Medium conc mask', 'T-piece', 'High flow nasal cannula', 'Ultrasonic neb', 'Vapomist'
            )
            OR itemid = 467 AND value IN (
                'Cannula', 'Nasal Cannula', 'Face Tent', 'Aerosol-Cool', 'Trach Mask', 'Hi Flow Neb',
                'Non-Rebreather', 'Venti Mask', 'Medium Conc Mask', 'Vapotherm', 'T-Piece', 'Hood', 'Hut',
                'TranstrachealCat', 'Heated Neb', 'Ultrasonic Neb'
            )
        ) AS on_oxygen,
        bool_or(itemid = 640 AND value IN ('Extubated', 'Self Extubation')) AS extubated,
        bool_or(itemid = 640 AND value = 'Self Extubation') AS by_patient
    FROM clinical_chart
    WHERE
        itemid IN (
            720, 223848, 223849, -- type and mode
            467, 226732, -- oxygen delivery device
            640, -- extubation
            445, 448, 449, 450, 1340, 1486, 1600, 224687, -- minute volume
            639, 654, 681, 682, 683, 684, 224684, 224685, 224686, -- tidal volume
            218, 436, 535, 444, 224695, 224696, 224697, 224746, 224747, -- airway pressure
            1, 221, 1211, 1655, 2000, 224419, 224738, 224750, 226873, 227187, -- inspiratory pressure
            543, -- plateau pressure
            5865, 5866, 224705, 224706, 224707, 224709, -- airway pressure release ventilation
            60, 437, 505, 506, 686, 220339, 224700, -- positive end-expiratory pressure
            3459, -- high pressure relief
            501, 502, 503, 224702, 223, 667, 668, 669, 670, 671, 672, -- pressure control
            224701 -- pressure support
        )
        AND icustay_id IS NOT NULL
        AND value IS NOT NULL
        AND error IS DISTINCT FROM 1
    GROUP BY icustay_id, charttime
),

signs AS (
    -- Two records of one extubation, planned and not, are two signs: the second begins anew.
    SELECT * FROM charted
    UNION
    SELECT icustay_id, starttime, false, false, true, itemid = 225468
    FROM procedureevents_mv
    WHERE itemid IN (227194, 225468, 225477) AND icustay_id IS NOT NULL -- extubation, planned or not
),

breaks AS (
    SELECT
        *,
        coalesce(
            lag(extubated) OVER (
                PARTITION BY icustay_id, on_ventilator OR extubated ORDER BY charttime, extubated
            )
            OR (on_oxygen AND NOT on_ventilator)
            OR (
                on_ventilator AND charttime > INTERVAL 8 HOUR + lag(charttime) OVER (
                    PARTITION BY icustay_id, on_ventilator ORDER BY charttime
                )
            ),
            false
        ) AS begins_anew
    FROM signs
),

events AS (
    -- Signs of one time belong to one event, hence RANGE.
    SELECT
        *,
        count(*) FILTER (begins_anew) OVER (
            PARTITION BY icustay_id ORDER BY charttime RANGE UNBOUNDED PRECEDING
        ) AS event
    FROM breaks
)

SELECT
    icustay_id,
    min(charttime) AS starttime,
    max(charttime) AS endtime
FROM events
WHERE on_ventilator OR extubated
GROUP BY icustay_id, event
HAVING bool_or(on_ventilator) AND min(charttime) < max(charttime)

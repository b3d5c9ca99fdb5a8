-- Every hour of every ICU stay, beginning 24 hours before it: laboratory values from before the stay count.
--
-- Source: MIT-LCP/mimic-code, mimic-iii/concepts/demographics/icustay_hours.sql.
-- Needs: stay_clock
-- Result: icustay_id, hour (-24 to last_hour), starttime (exclusive), endtime (inclusive).
SELECT
    icustay_id,
    CAST(hour AS INTEGER) AS hour,
    origin + to_hours(hour - 1) AS starttime,
    origin + to_hours(hour) AS endtime
FROM (SELECT *, unnest(range(-24, last_hour + 1)) AS hour FROM stay_clock)

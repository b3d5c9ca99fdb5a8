-- Severe sepsis after Angus: a bacterial or fungal infection together with an acute organ dysfunction.
--
-- Citation: Angus DC, Linde-Zwirble WT, Lidicker J, et al. Epidemiology of severe sepsis in the United States:
--   analysis of incidence, outcome, and associated costs of care. Crit Care Med 2001;29(7):1303-1310.
-- Codes: infection from the paper's appendix 1, organ dysfunction from its appendix 2, compared with mimic-code's
--   `angus` concept for MIMIC-III. As there, mechanical ventilation (procedures 96.70-96.72) counts as organ
--   dysfunction, and the codes 995.92 and 785.52, which are younger than the paper, count on their own.
--   A listed code includes all its subdivisions (038 includes 038.42). Codes are written without the dot.
-- Diagnoses belong to the admission, so every ICU stay of such an admission meets the definition.
--
-- Result: one row per ICU stay that meets the definition.
--   icustay_id  the stay
--   onset       always NULL: billing codes have no time
WITH infection AS (
    SELECT DISTINCT hadm_id
    FROM diagnoses_icd
    WHERE
        left(icd9_code, 3) IN (
            '001', '002', '003', '004', '005', '008', -- intestinal infections
            '009', '010', '011', '012', '013', '014', '015', '016', '017', '018', -- 010-018: tuberculosis
            '020', '021', '022', '023', '024', '025', '026', '027', -- zoonotic bacterial diseases
            '030', '031', '032', '033', '034', '035', '036', '037', '038', '039', -- 038: septicaemia
            '040', '041', -- other bacterial diseases
            '090', '091', '092', '093', '094', '095', '096', '097', '098', -- syphilis, gonorrhoea
            '100', '101', '102', '103', '104', -- other spirochaetal diseases
            '110', '111', '112', '114', '115', '116', '117', '118', -- mycoses
            '320', '322', '324', '325', -- meningitis, abscess of the central nervous system
            '420', '421', -- pericarditis, endocarditis
            '451', -- thrombophlebitis
            '461', '462', '463', '464', '465', -- upper respiratory tract
            '481', '482', '485', '486', '494', '510', '513', -- pneumonia, bronchiectasis, empyema, lung abscess
            '540', '541', '542', '566', '567', -- appendicitis, anorectal abscess, peritonitis
            '590', '597', '601', '614', '615', '616', -- kidney, urethra, prostate, pelvis
            '681', '682', '683', '686', -- skin
            '730' -- bone
        )
        OR left(icd9_code, 4) IN (
            '5695', -- intestinal abscess
            '5720', '5721', -- liver abscess, portal pyaemia
            '5750', -- acute cholecystitis
            '5990', -- urinary tract infection
            '7110', -- pyogenic arthritis
            '7907', -- bacteraemia
            '9966', '9985', '9993' -- infection of a device, after surgery, after infusion
        )
        OR left(icd9_code, 5) IN (
            '49121', -- acute exacerbation of obstructive chronic bronchitis
            '56201', '56203', '56211', '56213', -- diverticulitis
            '56983'  -- perforation of intestine
        )
),

organ_dysfunction AS (
    SELECT DISTINCT hadm_id
    FROM diagnoses_icd
    WHERE
        left(icd9_code, 3) IN (
            '458', -- hypotension
            '293', -- transient organic psychosis
            '570', -- acute necrosis of liver
            '584'  -- acute kidney failure
        )
        OR left(icd9_code, 4) IN (
            '7855', -- shock without trauma
            '3481', '3483', -- anoxic brain damage, encephalopathy
            '2874', '2875', -- thrombocytopenia
            '2866', '2869', -- defibrination, coagulation defect
            '5734'  -- hepatic infarction
        )
),

mechanical_ventilation AS (
    SELECT DISTINCT hadm_id
    FROM procedures_icd
    WHERE icd9_code IN ('9670', '9671', '9672')
),

explicit AS (
    SELECT DISTINCT hadm_id
    FROM diagnoses_icd
    WHERE icd9_code IN ('99592', '78552')
)

SELECT
    icustay_id,
    CAST(NULL AS TIMESTAMP) AS onset
FROM icustays
WHERE
    hadm_id IN (SELECT hadm_id FROM explicit)
    OR (
        hadm_id IN (SELECT hadm_id FROM infection)
        AND (
            hadm_id IN (SELECT hadm_id FROM organ_dysfunction)
            OR hadm_id IN (SELECT hadm_id FROM mechanical_ventilation)
        )
    )

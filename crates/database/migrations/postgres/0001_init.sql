-- Times are microseconds since 1970-01-01T00:00:00Z. Ids are UUIDv7. Texts of enumerations are checked. Both folders hold the same tables.

CREATE TABLE facilities (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    issuer TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    disabled_at BIGINT
);

CREATE TABLE facility_issuer_aliases (
    facility_id TEXT NOT NULL REFERENCES facilities (id),
    alias TEXT NOT NULL,
    PRIMARY KEY (facility_id, alias)
);

-- Who may associate: an unset address admits any address that the listener can be reached from.
CREATE TABLE peers (
    id UUID PRIMARY KEY,
    facility_id TEXT NOT NULL REFERENCES facilities (id),
    calling_aet TEXT NOT NULL,
    address TEXT,
    role TEXT NOT NULL CHECK (role IN ('reading', 'prior', 'both')),
    created_at BIGINT NOT NULL,
    disabled_at BIGINT
);
CREATE UNIQUE INDEX peers_by_aet ON peers (calling_aet, COALESCE(address, ''));

CREATE TABLE return_targets (
    id UUID PRIMARY KEY,
    facility_id TEXT NOT NULL REFERENCES facilities (id),
    called_aet TEXT NOT NULL,
    host TEXT NOT NULL,
    port BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    disabled_at BIGINT,
    UNIQUE (facility_id, called_aet, host, port)
);

CREATE TABLE accounts (
    id TEXT PRIMARY KEY,
    role TEXT NOT NULL CHECK (role IN ('reader', 'facility', 'office', 'administrator')),
    facility_id TEXT REFERENCES facilities (id),
    display_name TEXT NOT NULL,
    language TEXT NOT NULL CHECK (language IN ('ja', 'en')),
    password_hash TEXT NOT NULL,
    password_changed_at BIGINT NOT NULL,
    totp_secret BYTEA NOT NULL,
    totp_last_step BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    disabled_at BIGINT,
    CHECK ((role = 'facility') = (facility_id IS NOT NULL))
);

CREATE TABLE recovery_codes (
    account_id TEXT NOT NULL REFERENCES accounts (id),
    code_hash BYTEA NOT NULL,
    used_at BIGINT,
    PRIMARY KEY (account_id, code_hash)
);

CREATE TABLE sessions (
    token_hash BYTEA PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    created_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    ended_at BIGINT,
    address TEXT NOT NULL
);
CREATE INDEX sessions_by_account ON sessions (account_id);

CREATE TABLE sign_in_links (
    token_hash BYTEA PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
);

-- One row per failed attempt, for the rate limit; shared by all nodes.
CREATE TABLE sign_in_failures (
    id UUID PRIMARY KEY,
    account_id TEXT NOT NULL,
    address TEXT NOT NULL,
    failed_at BIGINT NOT NULL
);
CREATE INDEX sign_in_failures_by_account ON sign_in_failures (account_id, failed_at);
CREATE INDEX sign_in_failures_by_address ON sign_in_failures (address, failed_at);

-- What one administrator asks for and a second one must grant: a new password and second factor, with a new certificate for a reader.
CREATE TABLE approvals (
    id UUID PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('reenrol')),
    account_id TEXT NOT NULL REFERENCES accounts (id),
    reason TEXT NOT NULL,
    requested_by TEXT NOT NULL,
    requested_at BIGINT NOT NULL,
    granted_by TEXT,
    granted_at BIGINT,
    token_hash BYTEA,
    used_at BIGINT,
    refused_by TEXT,
    refused_at BIGINT,
    CHECK (granted_by IS NULL OR granted_by <> requested_by)
);

CREATE TABLE readers (
    account_id TEXT PRIMARY KEY REFERENCES accounts (id),
    name_alphabetic TEXT NOT NULL,
    name_ideographic TEXT NOT NULL,
    name_phonetic TEXT NOT NULL,
    organisation TEXT NOT NULL,
    hours TEXT NOT NULL,
    accepting_since BIGINT
);

CREATE TABLE reader_modalities (
    account_id TEXT NOT NULL REFERENCES readers (account_id),
    modality TEXT NOT NULL,
    PRIMARY KEY (account_id, modality)
);

-- A reader's certificate and its private key, encrypted under a key derived from the reader's password.
CREATE TABLE signing_certificates (
    id UUID PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    serial TEXT NOT NULL UNIQUE,
    certificate BYTEA NOT NULL,
    encrypted_key BYTEA NOT NULL,
    issued_at BIGINT NOT NULL,
    superseded_at BIGINT
);
CREATE UNIQUE INDEX signing_certificates_current ON signing_certificates (account_id) WHERE superseded_at IS NULL;

CREATE TABLE patients (
    id UUID PRIMARY KEY,
    facility_id TEXT NOT NULL REFERENCES facilities (id),
    issuer TEXT NOT NULL,
    patient_id TEXT NOT NULL,
    provisional_study_uid TEXT,
    provisional_reason TEXT,
    name_alphabetic TEXT NOT NULL,
    name_ideographic TEXT NOT NULL,
    name_phonetic TEXT NOT NULL,
    birth_date TEXT NOT NULL,
    sex TEXT NOT NULL,
    charset_repaired BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX patients_established ON patients (facility_id, issuer, patient_id) WHERE provisional_study_uid IS NULL;
CREATE UNIQUE INDEX patients_provisional ON patients (facility_id, provisional_study_uid) WHERE provisional_study_uid IS NOT NULL;

CREATE TABLE studies (
    id UUID PRIMARY KEY,
    facility_id TEXT NOT NULL REFERENCES facilities (id),
    study_uid TEXT NOT NULL,
    patient_pk UUID NOT NULL REFERENCES patients (id),
    state TEXT NOT NULL CHECK (state IN ('receiving', 'settled', 'withdrawn')),
    -- The patient as this study's first object names them: what is shown beside its images and signed.
    name_alphabetic TEXT NOT NULL,
    name_ideographic TEXT NOT NULL,
    name_phonetic TEXT NOT NULL,
    birth_date TEXT NOT NULL,
    sex TEXT NOT NULL,
    charset_repaired BIGINT NOT NULL,
    opens_case BIGINT NOT NULL,
    study_date TEXT NOT NULL,
    study_time TEXT NOT NULL,
    study_id TEXT NOT NULL,
    accession_number TEXT NOT NULL,
    description TEXT NOT NULL,
    referring_alphabetic TEXT NOT NULL,
    referring_ideographic TEXT NOT NULL,
    referring_phonetic TEXT NOT NULL,
    modalities TEXT NOT NULL,
    body_part TEXT NOT NULL,
    series_count BIGINT NOT NULL,
    instance_count BIGINT NOT NULL,
    expected_instances BIGINT,
    first_received_at BIGINT NOT NULL,
    last_received_at BIGINT NOT NULL,
    declared_complete_at BIGINT,
    settled_at BIGINT,
    withdrawn_at BIGINT,
    withdrawn_reason TEXT,
    UNIQUE (facility_id, study_uid)
);
CREATE INDEX studies_by_patient ON studies (patient_pk);
CREATE INDEX studies_by_received ON studies (facility_id, last_received_at);

CREATE TABLE series (
    id UUID PRIMARY KEY,
    facility_id TEXT NOT NULL REFERENCES facilities (id),
    study_pk UUID NOT NULL REFERENCES studies (id),
    series_uid TEXT NOT NULL,
    modality TEXT NOT NULL,
    number BIGINT,
    description TEXT NOT NULL,
    body_part TEXT NOT NULL,
    instance_count BIGINT NOT NULL,
    UNIQUE (facility_id, series_uid)
);
CREATE INDEX series_by_study ON series (study_pk);

-- The id is the UUID of the blob key.
CREATE TABLE instances (
    id UUID PRIMARY KEY,
    facility_id TEXT NOT NULL REFERENCES facilities (id),
    study_pk UUID NOT NULL REFERENCES studies (id),
    series_pk UUID NOT NULL REFERENCES series (id),
    sop_class_uid TEXT NOT NULL,
    sop_instance_uid TEXT NOT NULL,
    transfer_syntax_uid TEXT NOT NULL,
    number BIGINT,
    frames BIGINT NOT NULL,
    row_count BIGINT,
    column_count BIGINT,
    slice_position DOUBLE PRECISION,
    window_center DOUBLE PRECISION,
    window_width DOUBLE PRECISION,
    blob_key TEXT NOT NULL UNIQUE,
    size_bytes BIGINT NOT NULL,
    dataset_offset BIGINT NOT NULL,
    dataset_sha256 BYTEA NOT NULL,
    calling_aet TEXT NOT NULL,
    received_at BIGINT NOT NULL,
    UNIQUE (facility_id, sop_instance_uid)
);
CREATE INDEX instances_by_series ON instances (series_pk);
CREATE INDEX instances_by_study ON instances (study_pk);

-- Objects that were kept but are not part of any study: the sender got a failure, the office decides.
CREATE TABLE quarantined_objects (
    id UUID PRIMARY KEY,
    facility_id TEXT NOT NULL REFERENCES facilities (id),
    sop_instance_uid TEXT NOT NULL,
    study_uid TEXT NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    blob_key TEXT NOT NULL UNIQUE,
    size_bytes BIGINT NOT NULL,
    dataset_sha256 BYTEA NOT NULL,
    calling_aet TEXT NOT NULL,
    received_at BIGINT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('held', 'released', 'rejected')),
    decided_by TEXT,
    decided_at BIGINT,
    decision_reason TEXT
);
CREATE INDEX quarantined_objects_held ON quarantined_objects (state, received_at);
CREATE UNIQUE INDEX quarantined_objects_same ON quarantined_objects (facility_id, sop_instance_uid, dataset_sha256) WHERE state = 'held';

-- What the facility wrote about a study; the latest row is shown, earlier ones are kept.
CREATE TABLE reading_requests (
    id UUID PRIMARY KEY,
    facility_id TEXT NOT NULL REFERENCES facilities (id),
    study_pk UUID NOT NULL REFERENCES studies (id),
    clinical_question TEXT NOT NULL,
    callback_number TEXT NOT NULL,
    requesting_physician TEXT NOT NULL,
    priority TEXT NOT NULL CHECK (priority IN ('emergency', 'urgent', 'routine')),
    entered_by TEXT NOT NULL,
    entered_at BIGINT NOT NULL
);
CREATE INDEX reading_requests_by_study ON reading_requests (study_pk, entered_at);

CREATE TABLE cases (
    id UUID PRIMARY KEY,
    facility_id TEXT NOT NULL REFERENCES facilities (id),
    patient_pk UUID NOT NULL REFERENCES patients (id),
    priority TEXT NOT NULL CHECK (priority IN ('emergency', 'urgent', 'routine')),
    opened_at BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    images_added_after_signing_at BIGINT,
    withdrawn_at BIGINT
);
CREATE INDEX cases_by_facility ON cases (facility_id, opened_at);

CREATE TABLE case_studies (
    case_id UUID NOT NULL REFERENCES cases (id),
    study_pk UUID NOT NULL UNIQUE REFERENCES studies (id),
    PRIMARY KEY (case_id, study_pk)
);

CREATE TABLE workitems (
    uid TEXT PRIMARY KEY,
    case_id UUID NOT NULL REFERENCES cases (id),
    replaces_uid TEXT REFERENCES workitems (uid),
    state TEXT NOT NULL CHECK (state IN ('SCHEDULED', 'IN PROGRESS', 'COMPLETED', 'CANCELED')),
    transaction_uid TEXT,
    assigned_reader TEXT REFERENCES accounts (id),
    assigned_at BIGINT,
    assignment_reasons TEXT,
    performer TEXT REFERENCES accounts (id),
    claimed_at BIGINT,
    claim_expires_at BIGINT,
    created_at BIGINT NOT NULL,
    ended_at BIGINT,
    discontinuation_code TEXT,
    discontinuation_reason TEXT,
    CHECK ((state = 'SCHEDULED') = (transaction_uid IS NULL) OR state = 'CANCELED'),
    CHECK ((performer IS NULL) = (transaction_uid IS NULL))
);
CREATE UNIQUE INDEX workitems_one_open ON workitems (case_id) WHERE state IN ('SCHEDULED', 'IN PROGRESS');
CREATE INDEX workitems_by_state ON workitems (state, claim_expires_at);
CREATE INDEX workitems_by_case ON workitems (case_id, created_at);
CREATE INDEX workitems_by_assigned ON workitems (assigned_reader, assigned_at);

CREATE TABLE drafts (
    case_id UUID PRIMARY KEY REFERENCES cases (id),
    findings TEXT NOT NULL,
    impression TEXT NOT NULL,
    recommendation TEXT NOT NULL,
    version BIGINT NOT NULL,
    author TEXT NOT NULL,
    saved_at BIGINT NOT NULL
);

-- Final reports. Rows are never updated or deleted (a trigger refuses it); a version is succeeded by the next number.
CREATE TABLE report_versions (
    id UUID PRIMARY KEY,
    case_id UUID NOT NULL REFERENCES cases (id),
    facility_id TEXT NOT NULL REFERENCES facilities (id),
    number BIGINT NOT NULL,
    workitem_uid TEXT NOT NULL UNIQUE REFERENCES workitems (uid),
    author TEXT NOT NULL REFERENCES accounts (id),
    findings TEXT NOT NULL,
    impression TEXT NOT NULL,
    recommendation TEXT NOT NULL,
    signed_at BIGINT NOT NULL,
    manifest_sha256 BYTEA NOT NULL,
    certificate_serial TEXT NOT NULL,
    instance_count BIGINT NOT NULL,
    UNIQUE (case_id, number)
);

CREATE TABLE report_files (
    report_version_id UUID NOT NULL REFERENCES report_versions (id),
    kind TEXT NOT NULL CHECK (kind IN ('structured_report', 'encapsulated_pdf', 'manifest', 'signature')),
    blob_key TEXT NOT NULL UNIQUE,
    sha256 BYTEA NOT NULL,
    size_bytes BIGINT NOT NULL,
    sop_class_uid TEXT,
    sop_instance_uid TEXT UNIQUE,
    PRIMARY KEY (report_version_id, kind)
);

-- The return ledger: one row per version and recipient.
CREATE TABLE deliveries (
    id UUID PRIMARY KEY,
    report_version_id UUID NOT NULL REFERENCES report_versions (id),
    facility_id TEXT NOT NULL REFERENCES facilities (id),
    target_id UUID NOT NULL REFERENCES return_targets (id),
    state TEXT NOT NULL CHECK (state IN ('queued', 'sent', 'accepted', 'failed')),
    attempt_count BIGINT NOT NULL,
    next_attempt_at BIGINT,
    created_at BIGINT NOT NULL,
    accepted_at BIGINT,
    last_error TEXT,
    -- Who asked for an attempt at once that has not begun yet.
    retry_requested_by TEXT,
    UNIQUE (report_version_id, target_id)
);
CREATE INDEX deliveries_by_state ON deliveries (state, next_attempt_at);

CREATE TABLE delivery_attempts (
    id UUID PRIMARY KEY,
    delivery_id UUID NOT NULL REFERENCES deliveries (id),
    number BIGINT NOT NULL,
    started_by TEXT NOT NULL CHECK (started_by IN ('automatic', 'manual')),
    started_at BIGINT NOT NULL,
    ended_at BIGINT,
    outcome TEXT CHECK (outcome IN ('accepted', 'refused', 'unreachable', 'aborted', 'timed_out', 'interrupted', 'failed')),
    detail TEXT,
    UNIQUE (delivery_id, number)
);

-- Who at the facility opened which file of a report.
CREATE TABLE report_openings (
    id UUID PRIMARY KEY,
    report_version_id UUID NOT NULL REFERENCES report_versions (id),
    account_id TEXT NOT NULL REFERENCES accounts (id),
    kind TEXT NOT NULL,
    opened_at BIGINT NOT NULL
);
CREATE INDEX report_openings_by_version ON report_openings (report_version_id, opened_at);

CREATE TABLE jobs (
    id UUID PRIMARY KEY,
    queue TEXT NOT NULL,
    payload TEXT NOT NULL,
    dedup_key TEXT,
    state TEXT NOT NULL CHECK (state IN ('ready', 'running', 'done', 'dead')),
    attempt BIGINT NOT NULL,
    max_attempts BIGINT NOT NULL,
    run_at BIGINT NOT NULL,
    lease_until BIGINT,
    lease_by TEXT,
    last_error TEXT,
    created_at BIGINT NOT NULL,
    finished_at BIGINT
);
CREATE UNIQUE INDEX jobs_dedup ON jobs (queue, dedup_key) WHERE state = 'ready' AND dedup_key IS NOT NULL;
CREATE INDEX jobs_claimable ON jobs (state, run_at);

-- Hash-chained: each row's hash covers the row before it.
CREATE TABLE audit_events (
    sequence BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('success', 'refused', 'failed')),
    facility_id TEXT,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL,
    hash BYTEA NOT NULL
);
CREATE INDEX audit_events_by_time ON audit_events (at);

CREATE TABLE audit_head (
    id BIGINT PRIMARY KEY,
    sequence BIGINT NOT NULL,
    hash BYTEA NOT NULL
);
INSERT INTO audit_head (id, sequence, hash) VALUES (1, 0, '\x');

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are final', TG_TABLE_NAME;
END;
$$;
CREATE TRIGGER report_versions_final BEFORE UPDATE OR DELETE ON report_versions FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER report_files_final BEFORE UPDATE OR DELETE ON report_files FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_events_final BEFORE UPDATE OR DELETE ON audit_events FOR EACH ROW EXECUTE FUNCTION refuse_change();

//! dokuei-ingest

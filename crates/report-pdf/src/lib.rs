//! dokuei-report-pdf

//! dokuei-report

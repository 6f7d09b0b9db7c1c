//! dokuei-access

//! dokuei-config

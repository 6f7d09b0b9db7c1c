//! dokuei-receiver

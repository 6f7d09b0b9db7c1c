//! Statements are named constants, listed, so that a test prepares every one of them on both databases.

/// One SQL text, or a pair where the databases differ.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Statement {
    pub(crate) name: &'static str,
    pub(crate) sqlite: &'static str,
    pub(crate) postgres: &'static str,
}

/// Declares the statements of a file and `STATEMENTS`, their list. `NAME = "sql"` for both, `NAME = "sqlite", "postgres"` where they differ.
macro_rules! statements {
    (@pair $sql:expr) => { ($sql, $sql) };
    (@pair $sqlite:expr, $postgres:expr) => { ($sqlite, $postgres) };
    ($($(#[$doc:meta])* $name:ident = $first:expr $(, $second:expr)?;)*) => {
        $(
            $(#[$doc])*
            const $name: $crate::statements::Statement = {
                let pair: (&'static str, &'static str) = $crate::statements::statements!(@pair $first $(, $second)?);
                $crate::statements::Statement { name: stringify!($name), sqlite: pair.0, postgres: pair.1 }
            };
        )*
        #[cfg(test)]
        pub(crate) const STATEMENTS: &[$crate::statements::Statement] = &[$($name),*];
    };
}
pub(crate) use statements;

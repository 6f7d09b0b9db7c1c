use super::both;
use crate::ALL_STATEMENTS;

#[tokio::test]
async fn every_statement_prepares_on_both_databases() {
    both(|db, _| async move {
        for statement in ALL_STATEMENTS.iter().copied().flatten() {
            if let Err(error) = db.prepare(*statement).await {
                panic!("{} does not prepare (sqlite: {}): {error}", statement.name, db.is_sqlite());
            }
        }
    })
    .await;
}

#[test]
fn statement_names_are_unique() {
    let mut names: Vec<_> = ALL_STATEMENTS.iter().copied().flatten().map(|statement| statement.name).collect();
    names.sort_unstable();
    let before = names.len();
    names.dedup();
    assert_eq!(names.len(), before);
}

#[test]
fn both_migration_folders_describe_the_same_tables_and_columns() {
    let tables = |text: &str| -> Vec<String> {
        let mut found = Vec::new();
        let mut table = None;
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("CREATE TABLE ") {
                table = Some(name.trim_end_matches(" (").to_owned());
            } else if line.starts_with(')') {
                table = None;
            } else if let Some(table) = &table {
                let column = line.trim_start().split(' ').next().unwrap_or_default();
                found.push(format!("{table}.{column}"));
            }
        }
        found
    };
    let sqlite = tables(include_str!("../../migrations/sqlite/0001_init.sql"));
    let postgres = tables(include_str!("../../migrations/postgres/0001_init.sql"));
    assert!(sqlite.len() > 150, "{} columns found", sqlite.len());
    assert_eq!(sqlite, postgres);
}

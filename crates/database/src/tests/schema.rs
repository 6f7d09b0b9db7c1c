use super::both;
use crate::ALL_STATEMENTS;

#[tokio::test]
async fn every_statement_prepares_on_both_databases() {
    both(|db, _| async move {
        let of_many_objects = crate::filing_known::sqlite_statements();
        for statement in ALL_STATEMENTS.iter().copied().flatten().chain(&of_many_objects) {
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
            if let Some(added) = line.strip_prefix("ALTER TABLE ") {
                found.push(added.split(' ').take(4).collect::<Vec<_>>().join(" "));
            } else if let Some(name) = line.strip_prefix("CREATE TABLE ") {
                table = Some(name.trim_end_matches(" (").to_owned());
            } else if line.starts_with(')') {
                table = None;
            } else if let Some(table) = table.as_ref().filter(|_| !line.trim_start().starts_with("--")) {
                let column = line.trim_start().split(' ').next().unwrap_or_default();
                found.push(format!("{table}.{column}"));
            }
        }
        found
    };
    let first = (
        tables(include_str!("../../migrations/sqlite/0001_init.sql")),
        tables(include_str!("../../migrations/postgres/0001_init.sql")),
    );
    let second = (
        tables(include_str!("../../migrations/sqlite/0002_receiving.sql")),
        tables(include_str!("../../migrations/postgres/0002_receiving.sql")),
    );
    assert!(first.0.len() > 150 && second.0.len() > 50, "{} and {} columns found", first.0.len(), second.0.len());
    assert_eq!(first.0, first.1);
    assert_eq!(second.0, second.1);
}

//! The index that is made out of nothing for measurements.

use super::{
    both,
    cases::{add_facility, hospital},
};
use crate::{statements::Statement, value::args};

/// What does not hold together: counters beside what they count, and keys that name nothing.
const INCONSISTENT: Statement = {
    let sql = "SELECT (SELECT COUNT(*) FROM studies s WHERE s.instance_count <> (SELECT COUNT(*) FROM instances i WHERE i.study_pk = s.id) \
               OR s.id NOT IN (SELECT study_pk FROM patient_name_tokens)) \
               + (SELECT COUNT(*) FROM series e WHERE e.instance_count <> (SELECT COUNT(*) FROM instances i WHERE i.series_pk = e.id)) \
               + (SELECT COUNT(*) FROM instances i JOIN series e ON e.id = i.series_pk WHERE e.study_pk <> i.study_pk) AS wrong";
    Statement { name: "INCONSISTENT", sqlite: sql, postgres: sql }
};

#[tokio::test]
async fn a_seeded_index_is_whole() {
    both(|database, world| async move {
        add_facility(&database, &world, "HOSP1").await;

        database.bench_seed(&hospital(), 2_050).await.unwrap();

        let mut read = database.read().await.unwrap();
        assert_eq!(read.instance_count().await.unwrap(), 2_050);
        let wrong: i64 = read.one(INCONSISTENT, args![]).await.unwrap().get("wrong").unwrap();
        assert_eq!(wrong, 0);
        assert_eq!(read.custody_task("scrub").await.unwrap().unwrap().lease_by.as_deref(), Some("seed"));
    })
    .await;
}

//! The order of images in a stack.

use std::collections::HashMap;

use dokuei_database::{InstanceRow, SeriesRow};

use crate::SeriesEntry;

/// Puts the instances into their series. Slices are ordered by position along their normal where every image of the series has one and no two share it, as
/// instance numbers are not always in spatial order; otherwise by instance number.
pub(crate) fn arrange(series: Vec<SeriesRow>, instances: Vec<InstanceRow>) -> Vec<SeriesEntry> {
    let mut by_series: HashMap<_, Vec<InstanceRow>> = HashMap::new();
    for instance in instances {
        by_series.entry(instance.series).or_default().push(instance);
    }
    series
        .into_iter()
        .map(|series| {
            let mut instances = by_series.remove(&series.pk).unwrap_or_default();
            instances.sort_by(|a, b| (a.number, a.sop_instance.as_str()).cmp(&(b.number, b.sop_instance.as_str())));
            if positions_are_distinct(&instances) {
                instances.sort_by(|a, b| position(a).total_cmp(&position(b)));
            }
            SeriesEntry { series, instances }
        })
        .collect()
}

fn position(instance: &InstanceRow) -> f64 {
    instance.slice_position.unwrap_or(f64::NAN)
}

fn positions_are_distinct(instances: &[InstanceRow]) -> bool {
    let mut positions: Vec<f64> = instances.iter().map(position).collect();
    positions.sort_by(f64::total_cmp);
    positions.iter().all(|position| position.is_finite()) && positions.windows(2).all(|pair| pair[1] - pair[0] > 1e-3)
}

#[cfg(test)]
mod tests {
    use dokuei_domain::{
        FacilityId, InstanceId, SeriesPk, SeriesUid, SopClassUid, SopInstanceUid, StudyPk, Timestamp, TransferSyntaxUid,
    };

    use super::*;

    const SERIES: SeriesPk = SeriesPk(uuid::Uuid::nil());

    fn slice(number: i64, position: Option<f64>) -> InstanceRow {
        InstanceRow {
            id: InstanceId(uuid::Uuid::from_u128(u128::from(number.unsigned_abs()))),
            facility: FacilityId::parse("HOSP1").unwrap(),
            study: StudyPk(uuid::Uuid::nil()),
            series: SERIES,
            sop_class: SopClassUid::parse("1.2").unwrap(),
            sop_instance: SopInstanceUid::parse(&format!("1.2.{number}")).unwrap(),
            transfer_syntax: TransferSyntaxUid::parse("1.2").unwrap(),
            number: Some(number),
            frames: 1,
            rows: None,
            columns: None,
            slice_position: position,
            window: None,
            blob_key: String::new(),
            size_bytes: 0,
            dataset_offset: 0,
            dataset_sha256: [0; 32],
            received_at: Timestamp(0),
        }
    }

    fn order(instances: Vec<InstanceRow>) -> Vec<i64> {
        let series = SeriesRow {
            pk: SERIES,
            uid: SeriesUid::parse("1.2").unwrap(),
            modality: "CT".into(),
            number: Some(1),
            description: String::new(),
            body_part: String::new(),
            instance_count: 0,
        };
        arrange(vec![series], instances)[0].instances.iter().filter_map(|instance| instance.number).collect()
    }

    #[test]
    fn slices_lie_in_space_where_all_say_where_they_are() {
        assert_eq!(order(vec![slice(1, Some(30.0)), slice(2, Some(-5.0)), slice(3, Some(12.5))]), [2, 3, 1]);
    }

    #[test]
    fn otherwise_the_instance_number_decides() {
        assert_eq!(order(vec![slice(3, Some(1.0)), slice(1, None), slice(2, Some(0.0))]), [1, 2, 3]);
        // Two phases at one position: by position alone their order would be arbitrary.
        assert_eq!(order(vec![slice(2, Some(1.0)), slice(1, Some(1.0))]), [1, 2]);
    }
}

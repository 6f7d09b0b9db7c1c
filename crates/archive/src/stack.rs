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

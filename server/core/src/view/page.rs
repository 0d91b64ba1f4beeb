//! One page of a list.

use muster_schemas::api::List;

/// Which part of a list is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The id of the last item of the page before; none for the first page.
    pub after: Option<String>,
    /// So many items at most.
    pub limit: usize,
}

/// Takes the page out of `matching`, which is in the list's order and holds all that match. `is_after` says whether an item
/// comes after the page's `after`; only the page's own items are made into views. `next` is the last item's id.
pub(super) fn take<I, V>(
    matching: impl Iterator<Item = I>,
    limit: usize,
    mut is_after: impl FnMut(&I) -> bool,
    id: impl Fn(&I) -> String,
    mut view: impl FnMut(I) -> V,
) -> List<V> {
    let mut items = Vec::new();
    let mut total = 0;
    let mut more = false;
    let mut last = None;
    for item in matching {
        total += 1;
        if !is_after(&item) {
            continue;
        }
        if items.len() == limit {
            more = true;
            continue;
        }
        last = Some(id(&item));
        items.push(view(item));
    }
    List {
        items,
        next: last.filter(|_| more),
        total,
    }
}

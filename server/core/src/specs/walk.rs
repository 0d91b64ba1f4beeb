//! Ways through a tree: to the node at a path of indexes, its place, and changes there.

use super::report::Place;
use super::tree::{Entry, Node, Value};

/// What is meant of an entry: its value, or its key where the value is not one scalar.
pub(super) fn place_of(entry: &Entry) -> Place {
    match &entry.value.value {
        Value::Scalar { text, .. } if !text.is_empty() && entry.value.place.width > 0 => {
            entry.value.place
        }
        Value::Scalar { .. }
        | Value::List(_)
        | Value::Map(_)
        | Value::Refused
        | Value::Gone
        | Value::Placeholder => entry.key_place,
    }
}

/// The node at a path of indexes.
pub(super) fn at<'a>(root: &'a Node, path: &[usize]) -> Option<&'a Node> {
    path.iter().try_fold(root, |node, index| match &node.value {
        Value::Map(entries) => entries.get(*index).map(|entry| &entry.value),
        Value::List(items) => items.get(*index),
        Value::Scalar { .. } | Value::Refused | Value::Gone | Value::Placeholder => None,
    })
}

/// The names along a path of indexes: keys, and indexes of items.
pub(super) fn names(root: &Node, path: &[usize]) -> Vec<String> {
    let mut names = Vec::new();
    for (depth, index) in path.iter().enumerate() {
        names.push(match at(root, &path[..depth]).map(|node| &node.value) {
            Some(Value::Map(entries)) => entries
                .get(*index)
                .map(|entry| entry.key.clone())
                .unwrap_or_default(),
            Some(
                Value::List(_)
                | Value::Scalar { .. }
                | Value::Refused
                | Value::Gone
                | Value::Placeholder,
            )
            | None => index.to_string(),
        });
    }
    names
}

/// The place of the innermost key on a path; the first field where the path is the root.
pub(super) fn key_place(root: &Node, path: &[usize]) -> Place {
    let first = root
        .entries()
        .first()
        .map_or(root.place, |entry| entry.key_place);
    (0..path.len())
        .rev()
        .find_map(|depth| match &at(root, &path[..depth])?.value {
            Value::Map(entries) => entries.get(path[depth]).map(|entry| entry.key_place),
            Value::List(items) => items.get(path[depth]).map(|item| Place {
                width: 0,
                ..item.place
            }),
            Value::Scalar { .. } | Value::Refused | Value::Gone | Value::Placeholder => None,
        })
        .unwrap_or(first)
}

/// The place of the value at a path, or of its key where it is not one scalar.
pub(super) fn value_place(root: &Node, path: &[usize]) -> Place {
    match at(root, path) {
        Some(Node {
            value: Value::Scalar { text, .. },
            place,
        }) if !text.is_empty() && place.width > 0 => *place,
        Some(_) | None => key_place(root, path),
    }
}

/// Takes out the entry or item at a path.
pub(super) fn remove(root: &mut Node, path: &[usize]) -> bool {
    let Some((last, parents)) = path.split_last() else {
        return false;
    };
    match at_mut(root, parents).map(|node| &mut node.value) {
        Some(Value::Map(entries)) if *last < entries.len() => {
            entries.remove(*last);
            true
        }
        Some(Value::List(items)) if *last < items.len() => {
            items[*last].value = Value::Gone;
            true
        }
        Some(_) | None => false,
    }
}

pub(super) fn put_placeholder(root: &mut Node, path: &[usize], field: &str) -> bool {
    match at_mut(root, path) {
        Some(Node {
            value: Value::Map(entries),
            place,
        }) => {
            let place = *place;
            entries.push(Entry {
                key: field.to_owned(),
                key_place: place,
                value: Node {
                    place,
                    value: Value::Placeholder,
                },
            });
            true
        }
        Some(_) | None => false,
    }
}

fn at_mut<'a>(root: &'a mut Node, path: &[usize]) -> Option<&'a mut Node> {
    path.iter()
        .try_fold(root, |node, index| match &mut node.value {
            Value::Map(entries) => entries.get_mut(*index).map(|entry| &mut entry.value),
            Value::List(items) => items.get_mut(*index),
            Value::Scalar { .. } | Value::Refused | Value::Gone | Value::Placeholder => None,
        })
}

//! "Did you mean": which known word a person may have meant.

/// Fields that people look for in another place than they stand, by habit from other systems or by a slip of indentation.
const PLACES: [(&str, &str); 30] = [
    ("cpu", "resources.cpu"),
    ("cpus", "resources.cpu"),
    ("memory", "resources.memory"),
    ("mem", "resources.memory"),
    ("disk", "resources.disk"),
    ("gpu", "resources.gpu"),
    ("shm", "resources.shm"),
    ("network", "resources.network"),
    ("capacity", "service.capacity"),
    ("replicas", "service.capacity.desired"),
    ("count", "service.capacity.desired"),
    ("instances", "service.capacity.desired"),
    ("desired", "service.capacity.desired"),
    ("min", "service.capacity.min"),
    ("max", "service.capacity.max"),
    ("rollout", "service.rollout"),
    ("maxSurge", "service.rollout.maxSurge"),
    ("maxUnavailable", "service.rollout.maxUnavailable"),
    ("redBlack", "service.rollout.redBlack"),
    ("blueGreen", "service.rollout.redBlack"),
    ("canary", "service.rollout.canary"),
    ("analysis", "service.rollout.canary.analysis"),
    ("size", "batch.size"),
    ("runtimeLimit", "batch.runtimeLimit"),
    ("user", "security.user"),
    ("readOnlyRoot", "security.readOnlyRoot"),
    ("capabilities", "security.capabilities"),
    ("environment", "env"),
    ("args", "command"),
    ("cmd", "command"),
];

/// The known word that is nearest, if one is near enough to be meant.
pub(super) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = |text: &str| -> Vec<char> {
        // Case, hyphens and underscores are the commonest slips. Longer words are no slip of a known one.
        text.chars()
            .filter(|c| !matches!(c, '-' | '_' | ' '))
            .flat_map(char::to_lowercase)
            .take(40)
            .collect()
    };
    let written = plain(word);
    known
        .iter()
        .map(|candidate| {
            let candidate_chars = plain(candidate);
            // One slip in a short word, two in a longer one, three in a long one.
            let allowed = 1 + candidate_chars.len().min(12) / 6;
            (distance(&written, &candidate_chars), allowed, *candidate)
        })
        .filter(|(distance, allowed, candidate)| {
            distance <= allowed && *distance < candidate.chars().count()
        })
        .min_by_key(|(distance, _, _)| *distance)
        .map(|(_, _, candidate)| candidate)
}

/// Where a field stands that was written in the wrong place, if it is one that people look for.
pub(super) fn place_of(field: &str) -> Option<&'static str> {
    PLACES
        .iter()
        .find(|(name, _)| *name == field)
        .map(|(_, place)| *place)
}

/// How many letters have to be put in, taken out, changed or swapped with their neighbour.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, right) in b.iter().enumerate() {
            let mut least = (last[j] + usize::from(left != right))
                .min(last[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && *left == b[j - 1] && a[i - 1] == *right {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised() {
        let known = [
            "image",
            "command",
            "readiness",
            "killGrace",
            "env",
            "app",
            "service",
            "batch",
        ];
        for (word, expect) in [
            ("imgae", Some("image")),
            ("commnad", Some("command")),
            ("Command", Some("command")),
            ("kill_grace", Some("killGrace")),
            ("readyness", Some("readiness")),
            ("sevice", Some("service")),
            ("envs", Some("env")),
            ("zzz", None),
            ("replicas", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, &known), expect, "{word}");
        }
    }
}

//! "did you mean …?" for keys and names.

/// Longer words are nobody's typing mistake, and comparing them costs the product of their lengths.
const WORD_BYTES_MAX: usize = 64;

/// What follows on "unknown so-and-so": a suggestion where one of the `accepted` is near to `word`, and all of them.
pub(super) fn choices(word: &str, accepted: &[impl AsRef<str>]) -> String {
    let listed: Vec<_> = accepted.iter().map(AsRef::as_ref).filter(|word| !word.is_empty()).collect();
    let listed = listed.join(", ");
    match nearest(word, accepted) {
        Some(near) => format!(", did you mean {near:?}? accepted: {listed}"),
        None => format!("; accepted: {listed}"),
    }
}

/// Up to a third of the letters may be wrong; case and `_` in place of `-` do not count.
fn nearest<'a>(word: &str, accepted: &'a [impl AsRef<str>]) -> Option<&'a str> {
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    let plain = |text: &str| text.to_ascii_lowercase().replace('_', "-");
    let distance_max = word.chars().count() / 3;
    let distances = accepted.iter().map(|candidate| {
        let candidate = candidate.as_ref();
        (strsim::osa_distance(&plain(word), &plain(candidate)), candidate)
    });
    let near = distances.filter(|(distance, _)| *distance <= distance_max);
    near.min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 6] = ["path", "upstream", "plugins", "timeouts", "memory-max", "host"];

    #[test]
    fn near_misses() {
        let cases = [
            ("upsteam", "upstream"),
            ("timeout", "timeouts"),
            ("Plugins", "plugins"),
            ("memory_max", "memory-max"),
            ("pahts", ""),
            ("paht", "path"),
            ("hots", "host"),
        ];
        for (word, near) in cases {
            assert_eq!(nearest(word, &KEYS).unwrap_or_default(), near, "{word:?}");
        }
    }

    #[test]
    fn far_misses() {
        for word in ["", "x", "tls", "grants", "certificate", &"path".repeat(99)] {
            assert_eq!(nearest(word, &KEYS), None, "{word:?}");
        }
    }

    #[test]
    fn the_nearest_of_several() {
        assert_eq!(nearest("read-max", &["send-max", "read-mix"]), Some("read-mix"));
    }

    #[test]
    fn all_are_listed() {
        assert_eq!(choices("chta", &["chat", "files"]), ", did you mean \"chat\"? accepted: chat, files");
        assert_eq!(choices("x", &["chat", "", "files"]), "; accepted: chat, files");
    }
}

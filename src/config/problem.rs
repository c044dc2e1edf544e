//! What is wrong with a configuration: every finding, each in one line that says what to do.

use std::fmt;

/// One setting that cannot be used. Its value appears only where the setting is no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The setting's name, as its writer knows it: a variable, or a file and the place in it.
    pub(crate) name: String,
    /// What was found, as the rest of a sentence that starts with the name: `is "x"`, `is not set`.
    pub(crate) found: String,
    /// The shape a good value has, as the rest of "it must be …".
    pub(crate) shape: String,
    /// What to do about it: a whole sentence without its full stop.
    pub(crate) cure: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, found, shape, cure } = self;
        write!(f, "{name} {found}; it must be {shape}. {cure}.")
    }
}

/// Everything that is wrong, in the order it was found. Empty means that all is well.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Problems(Vec<Problem>);

impl Problems {
    pub(crate) fn add(
        &mut self,
        name: impl Into<String>,
        found: impl Into<String>,
        shape: impl Into<String>,
        cure: impl Into<String>,
    ) {
        self.0.push(Problem {
            name: name.into(),
            found: found.into(),
            shape: shape.into(),
            cure: cure.into(),
        });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.0 {
            writeln!(f, "configuration: {problem}")?;
        }
        Ok(())
    }
}

/// A value as an error may show it: quoted, control characters escaped, and never a screenful.
pub(super) fn quoted(value: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 80;
    if value.chars().count() <= SHOWN_CHARS_MAX {
        return format!("{value:?}");
    }
    let start: String = value.chars().take(SHOWN_CHARS_MAX).collect();
    format!("{start:?}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_one_line_with_name_finding_shape_and_cure() {
        let mut problems = Problems::default();
        problems.add("SAUTIKIT_X", format!("is {}", quoted("a\nb")), "a letter", "Set it to a");
        assert_eq!(
            problems.to_string(),
            "configuration: SAUTIKIT_X is \"a\\nb\"; it must be a letter. Set it to a.\n"
        );
    }

    #[test]
    fn a_long_value_is_cut() {
        let shown = quoted(&"ä".repeat(500));
        assert!(shown.chars().count() < 90, "{shown}");
        assert!(shown.ends_with('…'));
    }
}

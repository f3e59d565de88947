//! What every plugin is: a type made from settings.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::ConfigureError;

/// A plugin: made once from its settings, then asked by its hooks.
///
/// The host runs `configure` once for a configuration and begins later instances with the memory it left, so
/// whatever is prepared here (compiled patterns, parsed lists) is paid for once, and not for each session.
/// For the same reason it must not take a [`limits::Slot`](crate::limits::Slot).
///
/// ```
/// use sluicegate_sdk::prelude::*;
///
/// #[derive(Deserialize)]
/// #[serde(deny_unknown_fields, rename_all = "kebab-case")]
/// struct Settings {
///     body_max: usize,
/// }
///
/// struct SizeLimit {
///     body_max: usize,
/// }
///
/// impl Plugin for SizeLimit {
///     type Settings = Settings;
///
///     fn configure(settings: Settings) -> Result<Self, ConfigureError> {
///         if settings.body_max == 0 {
///             return Err(ConfigureError::new("body-max: 0 would refuse everything; give at least 1"));
///         }
///         Ok(Self { body_max: settings.body_max })
///     }
/// }
///
/// let plugin: SizeLimit = testing::configure(r#"{ "body-max": 10 }"#)?;
/// assert_eq!(plugin.body_max, 10);
/// # Ok::<(), ConfigureError>(())
/// ```
pub trait Plugin: Sized + 'static {
    /// The `settings` table of the configuration. With `#[serde(deny_unknown_fields, rename_all =
    /// "kebab-case")]` a misspelt key is an error that lists the right ones.
    type Settings: DeserializeOwned;

    /// Make the plugin.
    ///
    /// # Errors
    ///
    /// Words for the operator, where the settings are well-formed but make no sense. What serde refuses never
    /// comes here: it is reported with the key it is about.
    fn configure(settings: Self::Settings) -> Result<Self, ConfigureError>;
}

/// The settings of a plugin that has none: any key is an error.
///
/// ```
/// use sluicegate_sdk::prelude::*;
///
/// struct Quiet;
///
/// impl Plugin for Quiet {
///     type Settings = NoSettings;
///
///     fn configure(_: NoSettings) -> Result<Self, ConfigureError> {
///         Ok(Self)
///     }
/// }
///
/// assert!(testing::configure::<Quiet>("{}").is_ok());
/// assert!(testing::configure::<Quiet>(r#"{ "loud": true }"#).is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

/// Settings as the host hands them over, to the plugin.
pub(crate) fn configure<P: Plugin>(settings: &str) -> Result<P, ConfigureError> {
    let mut json = serde_json::Deserializer::from_str(settings);
    let settings = serde_path_to_error::deserialize(&mut json).map_err(describe)?;
    P::configure(settings)
}

/// serde's words after the key they are about. The position is left out: the operator wrote TOML, not this
/// JSON.
fn describe(error: serde_path_to_error::Error<serde_json::Error>) -> ConfigureError {
    let key = error.path().to_string();
    let error = error.into_inner();
    let position = format!(" at line {} column {}", error.line(), error.column());
    let text = error.to_string();
    let text = text.strip_suffix(&position).unwrap_or(&text);
    if key == "." { ConfigureError::new(text) } else { ConfigureError::new(format_args!("{key}: {text}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    struct Settings {
        allow: Vec<String>,
        #[serde(default)]
        limits: Option<Limits>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    struct Limits {
        burst_max: u8,
    }

    #[derive(Debug)]
    struct Sample {
        settings: Settings,
    }

    impl Plugin for Sample {
        type Settings = Settings;

        fn configure(settings: Settings) -> Result<Self, ConfigureError> {
            if settings.allow.is_empty() {
                return Err(ConfigureError::new("allow: list at least one"));
            }
            Ok(Self { settings })
        }
    }

    fn refusal(settings: &str) -> String {
        configure::<Sample>(settings).unwrap_err().to_string()
    }

    #[test]
    fn good_settings_make_the_plugin() {
        let plugin: Sample = configure(r#"{"allow": ["a"], "limits": {"burst-max": 3}}"#).unwrap();
        assert_eq!(plugin.settings.allow, ["a"]);
        assert_eq!(plugin.settings.limits.unwrap().burst_max, 3);
    }

    #[test]
    fn an_unknown_key_is_named_with_those_expected() {
        assert_eq!(refusal(r#"{"alow": []}"#), "alow: unknown field `alow`, expected `allow` or `limits`");
    }

    #[test]
    fn an_error_inside_names_the_whole_key() {
        assert_eq!(
            refusal(r#"{"allow": ["a"], "limits": {"burst-max": 300}}"#),
            "limits.burst-max: invalid value: integer `300`, expected u8"
        );
        assert_eq!(
            refusal(r#"{"allow": ["a", 7]}"#),
            "allow[1]: invalid type: integer `7`, expected a string"
        );
    }

    #[test]
    fn a_missing_key_is_named() {
        assert_eq!(refusal("{}"), "missing field `allow`");
    }

    #[test]
    fn the_plugins_own_words_come_through() {
        assert_eq!(refusal(r#"{"allow": []}"#), "allow: list at least one");
    }
}

//! Parameters of a query: each known, given once, and of a value that is allowed, or the answer says what is.

use std::collections::BTreeMap;
use std::time::Duration;

use warp::http::StatusCode;

use crate::alert::Matcher;

use super::json::ApiError;

/// Values by name.
pub(super) type Parameters = BTreeMap<String, String>;

/// The parameters of a query, each of them known and given once.
pub(super) fn parameters(query: &str, known: &[&str]) -> Result<Parameters, ApiError> {
    let (parameters, _) = parameters_and(query, known, None)?;
    Ok(parameters)
}

/// As [`parameters`], and the values of one that may be given several times.
pub(super) fn parameters_and(
    query: &str,
    known: &[&str],
    several: Option<&str>,
) -> Result<(Parameters, Vec<String>), ApiError> {
    let mut parameters = BTreeMap::new();
    let mut values = Vec::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()).into_owned() {
        if several == Some(name.as_str()) {
            values.push(value);
            continue;
        }
        if !known.contains(&name.as_str()) {
            let all: Vec<&str> = several.into_iter().chain(known.iter().copied()).collect();
            let help = if all.is_empty() {
                "this endpoint takes none".to_owned()
            } else {
                format!("allowed: {}", all.join(", "))
            };
            return Err(ApiError::new(
                StatusCode::BAD_REQUEST,
                format!("unknown parameter {name:?}"),
                help,
            ));
        }
        if parameters.insert(name.clone(), value).is_some() {
            let detail = format!("parameter {name} is given twice");
            return Err(ApiError::new(
                StatusCode::BAD_REQUEST,
                detail,
                "give it once",
            ));
        }
    }
    Ok((parameters, values))
}

/// A duration parameter in a range.
pub(super) fn duration(
    parameters: &Parameters,
    name: &str,
    shortest: Duration,
    longest: Duration,
) -> Result<Option<Duration>, ApiError> {
    let Some(text) = parameters.get(name) else {
        return Ok(None);
    };
    match humantime::parse_duration(text) {
        Ok(duration) if (shortest..=longest).contains(&duration) => Ok(Some(duration)),
        _ => Err(bad_parameter(name, text, &range(shortest, longest))),
    }
}

/// What a duration parameter may be.
pub(super) fn range(shortest: Duration, longest: Duration) -> String {
    let [shortest, longest] = [shortest, longest].map(humantime::format_duration);
    format!("a duration such as 30s, 5m or 1h from {shortest} to {longest}")
}

pub(super) fn bad_parameter(name: &str, value: &str, allowed: &str) -> ApiError {
    let detail = format!("parameter {name} is {value:?}");
    ApiError::new(
        StatusCode::BAD_REQUEST,
        detail,
        format!("allowed: {allowed}"),
    )
}

/// A parameter that is one of a few names.
pub(super) fn choice<T: Copy>(
    parameters: &Parameters,
    name: &str,
    choices: &[(&str, T)],
) -> Result<Option<T>, ApiError> {
    let Some(text) = parameters.get(name) else {
        return Ok(None);
    };
    let found = choices.iter().find(|(choice, _)| choice == text);
    found
        .map(|(_, value)| Some(*value))
        .ok_or_else(|| bad_parameter(name, text, &names(choices).join(", ")))
}

/// What a parameter that is one of a few names may be.
pub(super) fn names<'a, T>(choices: &[(&'a str, T)]) -> Vec<&'a str> {
    choices.iter().map(|(name, _)| *name).collect()
}

/// A parameter that people write: who they are, why they do something.
pub(super) fn words(
    parameters: &Parameters,
    name: &str,
    longest: usize,
) -> Result<Option<String>, ApiError> {
    let Some(text) = parameters.get(name) else {
        return Ok(None);
    };
    let is_fine =
        !text.is_empty() && text.chars().count() <= longest && !text.chars().any(char::is_control);
    match is_fine {
        true => Ok(Some(text.clone())),
        false => Err(bad_parameter(
            name,
            text,
            &format!("a text of 1 to {longest} characters"),
        )),
    }
}

/// Conditions on labels.
pub(super) fn matchers(texts: &[String]) -> Result<Vec<Matcher>, ApiError> {
    let parse = |text: &String| {
        let parsed = text.parse::<Matcher>();
        parsed.map_err(|allowed| bad_parameter("matcher", text, &allowed))
    };
    texts.iter().map(parse).collect()
}

//! Who is speaking: the resource attributes of a push, and `target_info` of a scrape.

use std::collections::BTreeMap;

use super::Otlp;

/// Attribute that becomes half of the label `job`, the other half being [`SERVICE_NAMESPACE`].
pub const SERVICE_NAME: &str = "service.name";
/// See [`SERVICE_NAME`].
pub const SERVICE_NAMESPACE: &str = "service.namespace";
/// Attribute that becomes the label `instance`.
pub const SERVICE_INSTANCE_ID: &str = "service.instance.id";

/// Resource attributes in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resource {
    attributes: BTreeMap<String, String>,
}

impl Resource {
    /// Attributes by rising precedence: defaults, `otlp.resource` of the configuration, `OTEL_RESOURCE_ATTRIBUTES`,
    /// `OTEL_SERVICE_NAME`. `instance` is the instance's default name.
    ///
    /// Attributes with an empty value are left out: an empty `service.namespace` would make the job `/name`.
    pub fn resolve(
        otlp: &Otlp,
        instance: String,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let executable = std::env::current_exe().ok();
        let executable = executable
            .as_deref()
            .and_then(|path| path.file_name())
            .and_then(|name| name.to_str());
        let defaults = [
            (
                SERVICE_NAME,
                format!("unknown_service:{}", executable.unwrap_or("rust")),
            ),
            (SERVICE_INSTANCE_ID, instance),
            ("telemetry.sdk.language", "rust".to_owned()),
            ("telemetry.sdk.name", env!("CARGO_PKG_NAME").to_owned()),
            (
                "telemetry.sdk.version",
                env!("CARGO_PKG_VERSION").to_owned(),
            ),
        ];
        let mut attributes: BTreeMap<String, String> = defaults
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        attributes.extend(otlp.resource.clone());
        attributes.extend(pairs(
            &environment("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default(),
        ));
        if let Some(name) = environment("OTEL_SERVICE_NAME").filter(|name| !name.is_empty()) {
            attributes.insert(SERVICE_NAME.to_owned(), name);
        }
        attributes.retain(|_, value| !value.is_empty());
        Self { attributes }
    }

    /// Every attribute.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.attributes
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The label `job`, as Prometheus makes it.
    pub fn job(&self) -> String {
        let of = |name: &str| self.attributes.get(name).cloned();
        let name = of(SERVICE_NAME).unwrap_or_default();
        match of(SERVICE_NAMESPACE) {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name,
        }
    }

    /// The label `instance`.
    pub fn instance(&self) -> &str {
        let instance = self.attributes.get(SERVICE_INSTANCE_ID);
        instance.map(String::as_str).unwrap_or_default()
    }

    /// Labels of `target_info`: what does not become `job` and `instance`, under names that Prometheus takes.
    pub fn target_labels(&self) -> Vec<(String, String)> {
        let job_and_instance = [SERVICE_NAME, SERVICE_NAMESPACE, SERVICE_INSTANCE_ID];
        let others = self
            .attributes()
            .filter(|(name, _)| !job_and_instance.contains(name));
        others
            .map(|(name, value)| (label_name(name), value.to_owned()))
            .collect()
    }
}

/// An attribute name as Prometheus' translator writes it.
fn label_name(attribute: &str) -> String {
    let mut label: String = attribute
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    if label.starts_with(|c: char| c.is_ascii_digit()) {
        label.insert_str(0, "key_");
    }
    label
}

/// `name=value,name=value` with percent-encoded values, the form of the standard variables. What is not a pair is left out.
pub fn pairs(text: &str) -> impl Iterator<Item = (String, String)> {
    text.split(',').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let name = name.trim();
        (!name.is_empty()).then(|| (decoded(name), decoded(value.trim())))
    })
}

fn decoded(text: &str) -> String {
    // A plus sign is itself here, other than in forms.
    let text = text
        .replace('+', "%2B")
        .replace('&', "%26")
        .replace('=', "%3D");
    url::form_urlencoded::parse(text.as_bytes())
        .next()
        .map(|(name, _)| name.into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_form_of_pairs() {
        let parsed: Vec<_> = pairs("service.name=shop%20%2B, a = b+c=d&e ,broken,=x,k=").collect();
        let expected = [("service.name", "shop +"), ("a", "b+c=d&e"), ("k", "")];
        assert_eq!(
            parsed,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }
}

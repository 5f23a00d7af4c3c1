//! `properties.*` of a Flink script, which are the Java client's, as librdkafka's settings.

use starweir_model::option::OptionError;

/// Settings for librdkafka, and what the user should know about them.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Translated {
    pub settings: Vec<(String, String)>,
    pub notes: Vec<String>,
    pub group_id: Option<String>,
    /// The user's `auto.offset.reset`.
    pub reset: Option<String>,
    pub commit_offsets: bool,
}

/// Translates; every mistake is reported. Values are never part of a message.
pub(super) fn translate<'a>(given: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Translated, Vec<OptionError>> {
    let given: Vec<(&str, &str)> = given.collect();
    let get = |key: &str| given.iter().find(|(k, _)| *k == key).map(|(_, v)| *v);
    let mut out = Translated { commit_offsets: true, ..Translated::default() };
    let mut errors = Vec::new();
    let mut refuse = |key: &str, message: String, hint: &str| {
        errors.push(OptionError {
            option: format!("properties.{key}"),
            message,
            hint: Some(hint.to_owned()).filter(|h| !h.is_empty()),
        });
    };
    for &(key, value) in &given {
        let mut set = |name: &str, value: &str| out.settings.push((name.to_owned(), value.to_owned()));
        match key {
            "group.id" => {
                out.group_id = Some(value.to_owned());
                set(key, value);
            }
            "auto.offset.reset" => out.reset = Some(value.to_lowercase()),
            "commit.offsets.on.checkpoint" => out.commit_offsets = value.eq_ignore_ascii_case("true"),
            // Read by the Java client only; the meaning is ours to keep or has no counterpart.
            "enable.auto.commit"
            | "auto.commit.interval.ms"
            | "max.poll.records"
            | "max.poll.interval.ms"
            | "partition.discovery.interval.ms"
            | "client.id.prefix"
            | "register.consumer.metrics"
            | "partition.assignment.strategy"
            | "metric.reporters"
            | "metrics.num.samples"
            | "interceptor.classes"
            | "key.deserializer"
            | "value.deserializer"
            | "key.serializer"
            | "value.serializer"
            | "default.api.timeout.ms"
            | "allow.auto.create.topics"
            | "exclude.internal.topics"
            | "client.dns.lookup"
            | "enable.metrics.push"
            | "send.buffer.bytes"
            | "receive.buffer.bytes" => {
                if key == "enable.auto.commit" && value.eq_ignore_ascii_case("true") {
                    out.notes.push(
                        "properties.enable.auto.commit is ignored: offsets are committed to the group after each epoch"
                            .into(),
                    );
                }
            }
            "sasl.mechanism" => set("sasl.mechanisms", value),
            "sasl.jaas.config" => match parse_jaas(value) {
                Some(jaas)
                    if jaas.module.ends_with("PlainLoginModule") || jaas.module.ends_with("ScramLoginModule") =>
                {
                    match (jaas.option("username"), jaas.option("password")) {
                        (Some(user), Some(password)) => {
                            set("sasl.username", user);
                            set("sasl.password", password);
                        }
                        _ => refuse(
                            key,
                            format!("option 'properties.{key}' names no username or no password"),
                            "write … required username=\"u\" password=\"p\";",
                        ),
                    }
                }
                Some(jaas) => refuse(
                    key,
                    format!("option 'properties.{key}' asks for {}, which is a Java class", jaas.module),
                    "SASL PLAIN and SCRAM are supported (PlainLoginModule, ScramLoginModule)",
                ),
                None => refuse(
                    key,
                    format!("option 'properties.{key}' cannot be read"),
                    "write org.apache.kafka.common.security.plain.PlainLoginModule required username=\"u\" password=\"p\";",
                ),
            },
            "sasl.login.callback.handler.class" | "sasl.client.callback.handler.class" | "sasl.login.class" => refuse(
                key,
                format!("option 'properties.{key}' names a Java class, which cannot run here"),
                "SASL PLAIN and SCRAM are supported",
            ),
            "ssl.truststore.location" => {
                let kind = get("ssl.truststore.type").unwrap_or("JKS");
                if kind.eq_ignore_ascii_case("PEM") {
                    set("ssl.ca.location", value);
                } else {
                    refuse(
                        key,
                        format!("option 'properties.{key}' is a {kind} store, a Java format"),
                        "convert it: `keytool -exportcert -rfc -alias … -keystore … > ca.pem`, then set properties.ssl.truststore.type = PEM and this option to ca.pem",
                    );
                }
            }
            "ssl.keystore.location" => match get("ssl.keystore.type").unwrap_or("JKS").to_uppercase().as_str() {
                "PEM" => {
                    set("ssl.certificate.location", value);
                    set("ssl.key.location", value);
                }
                "PKCS12" => set(key, value),
                kind => refuse(
                    key,
                    format!("option 'properties.{key}' is a {kind} store, a Java format"),
                    "convert it: `keytool -importkeystore -srckeystore … -destkeystore client.p12 -deststoretype PKCS12`, then set properties.ssl.keystore.type = PKCS12",
                ),
            },
            "ssl.keystore.password" => {
                if get("ssl.keystore.type").is_some_and(|t| t.eq_ignore_ascii_case("PKCS12")) {
                    set(key, value);
                }
            }
            "ssl.truststore.certificates" => set("ssl.ca.pem", value),
            "ssl.keystore.certificate.chain" => set("ssl.certificate.pem", value),
            "ssl.keystore.key" => set("ssl.key.pem", value),
            "ssl.truststore.type"
            | "ssl.keystore.type"
            | "ssl.truststore.password"
            | "ssl.protocol"
            | "ssl.enabled.protocols"
            | "ssl.provider"
            | "ssl.keymanager.algorithm"
            | "ssl.trustmanager.algorithm" => {}
            "ssl.endpoint.identification.algorithm" => {
                set(key, if value.trim().is_empty() { "none" } else { value });
            }
            "request.timeout.ms" => set("socket.timeout.ms", value),
            "connections.max.idle.ms"
            | "reconnect.backoff.ms"
            | "reconnect.backoff.max.ms"
            | "retry.backoff.ms"
            | "client.id"
            | "client.rack"
            | "bootstrap.servers"
            | "security.protocol"
            | "isolation.level"
            | "fetch.min.bytes"
            | "fetch.max.bytes"
            | "max.partition.fetch.bytes"
            | "check.crcs"
            | "session.timeout.ms"
            | "heartbeat.interval.ms"
            | "metadata.max.age.ms"
            | "group.instance.id" => {
                let name = key;
                set(name, if name == "security.protocol" { value } else { value.trim() });
            }
            "fetch.max.wait.ms" => set("fetch.wait.max.ms", value),
            // Anything else may be a setting of librdkafka; it says so itself when the reader is made.
            other => set(other, value),
        }
    }
    if get("bootstrap.servers").is_none_or(|v| v.trim().is_empty()) {
        refuse(
            "bootstrap.servers",
            "option 'properties.bootstrap.servers' is missing: brokers, `host:port`, separated by commas".into(),
            "",
        );
    }
    if errors.is_empty() { Ok(out) } else { Err(errors) }
}

struct Jaas<'a> {
    module: &'a str,
    options: Vec<(&'a str, String)>,
}

impl Jaas<'_> {
    fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(k, _)| *k == name).map(|(_, v)| v.as_str())
    }
}

/// `module required key="value" …;`
fn parse_jaas(text: &str) -> Option<Jaas<'_>> {
    let text = text.trim().trim_end_matches(';').trim_end();
    let (module, rest) = text.split_once(char::is_whitespace)?;
    let rest = rest.trim_start();
    let (_flag, mut rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let mut options = Vec::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Some(Jaas { module, options });
        }
        let (key, after) = rest.split_once('=')?;
        let mut value = String::new();
        let quoted = after.strip_prefix('"');
        if let Some(quoted) = quoted {
            let mut chars = quoted.char_indices();
            let end = loop {
                match chars.next()? {
                    (i, '"') => break i,
                    (_, '\\') => value.push(chars.next()?.1),
                    (_, c) => value.push(c),
                }
            };
            rest = &quoted[end + 1..];
        } else {
            let end = after.find(char::is_whitespace).unwrap_or(after.len());
            value.push_str(&after[..end]);
            rest = &after[end..];
        }
        options.push((key.trim(), value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(given: &[(&str, &str)], name: &str) -> Option<String> {
        let mut all = vec![("bootstrap.servers", "b:9092")];
        all.extend(given);
        let translated = translate(all.into_iter()).unwrap();
        translated.settings.into_iter().find(|(k, _)| k == name).map(|(_, v)| v)
    }

    #[test]
    fn java_only_properties_become_librdkafkas() {
        let plain =
            "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"u\" password=\"p\\\"q\";";
        assert_eq!(setting(&[("sasl.jaas.config", plain)], "sasl.password").as_deref(), Some("p\"q"));
        let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required\n username=u password='x';";
        assert_eq!(setting(&[("sasl.jaas.config", scram)], "sasl.username").as_deref(), Some("u"));
        assert_eq!(
            setting(&[("sasl.mechanism", "SCRAM-SHA-512")], "sasl.mechanisms").as_deref(),
            Some("SCRAM-SHA-512")
        );
        let pem = [("ssl.truststore.type", "PEM"), ("ssl.truststore.location", "ca.pem")];
        assert_eq!(setting(&pem, "ssl.ca.location").as_deref(), Some("ca.pem"));
        assert_eq!(
            setting(&[("ssl.endpoint.identification.algorithm", "")], "ssl.endpoint.identification.algorithm")
                .as_deref(),
            Some("none")
        );
        assert_eq!(setting(&[("fetch.max.wait.ms", "5")], "fetch.wait.max.ms").as_deref(), Some("5"));
        assert_eq!(setting(&[("key.deserializer", "x.Y")], "key.deserializer"), None);
    }

    #[test]
    fn what_only_java_can_do_is_refused_with_the_way_out_and_without_values() {
        let check = |key: &str, value: &str, part: &str| {
            let errors = translate([("bootstrap.servers", "b"), (key, value)].into_iter()).unwrap_err();
            let text = format!("{} {}", errors[0].message, errors[0].hint.clone().unwrap_or_default());
            assert!(text.contains(part), "{text}");
            assert!(!text.contains("s3cret"), "{text}");
        };
        check("ssl.truststore.location", "s3cret.jks", "keytool -exportcert");
        check("ssl.keystore.location", "s3cret.jks", "PKCS12");
        check("sasl.jaas.config", "com.example.Login required password=\"s3cret\";", "com.example.Login");
        check("sasl.jaas.config", "s3cret", "cannot be read");
        check("sasl.login.callback.handler.class", "s3cret", "Java class");
        assert!(translate([("group.id", "g")].into_iter()).is_err());
    }

    #[test]
    fn no_text_panics_the_reader_of_login_settings() {
        for text in ["", " ", "a", "a b", "a b c", "a b c=", "a b c=\"", "a b c=\"\\", "a b =;", "ä b ö=\"ü\";"] {
            let _ = parse_jaas(text);
        }
    }
}

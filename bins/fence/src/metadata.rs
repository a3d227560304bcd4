//! What a fence agent says of itself: its options, by which those of the configuration are looked through before anybody needs them.

use hotspare_config::Fence;
use roxmltree::Document;

/// An option of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Parameter {
    name: String,
    /// Other names of it, mostly older.
    also: Option<String>,
    required: bool,
    default: bool,
}

/// What is wrong with the options of a method, by the agent's own metadata; nothing, if nothing is.
pub fn wrong(xml: &str, fence: &Fence) -> Vec<String> {
    let parameters = match parameters(xml) {
        Ok(parameters) => parameters,
        Err(why) => return vec![format!("its metadata is not understood: {why}")],
    };
    let given: Vec<&str> = fence.options.keys().chain(fence.secrets.keys()).map(String::as_str).collect();
    let is = |parameter: &Parameter, name: &str| parameter.name == name || parameter.also.as_deref() == Some(name);
    let unknown = given.iter().filter(|name| !parameters.iter().any(|parameter| is(parameter, name))).map(|name| {
        let known: Vec<&str> = parameters.iter().map(|parameter| parameter.name.as_str()).collect();
        let near = known.iter().max_by(|a, b| {
            let near = |known: &str| strsim::jaro_winkler(known, name);
            near(a).total_cmp(&near(b))
        });
        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        format!("it has no option `{name}`{near}")
    });
    let missing = parameters
        .iter()
        .filter(|parameter| parameter.required && !parameter.default && !OURS.contains(&parameter.name.as_str()))
        .filter(|parameter| !given.iter().any(|name| is(parameter, name)))
        .map(|parameter| format!("it needs the option `{}`", parameter.name));
    unknown.chain(missing).collect()
}

/// What is said to it by this program.
const OURS: [&str; 3] = ["action", "nodename", "port"];

fn parameters(xml: &str) -> Result<Vec<Parameter>, String> {
    let document = Document::parse(xml).map_err(|error| error.to_string())?;
    let root = document.root_element();
    if !root.has_tag_name("resource-agent") {
        return Err(format!("it begins with <{}> and not with <resource-agent>", root.tag_name().name()));
    }
    let all = root.descendants().filter(|node| node.has_tag_name("parameter"));
    let parameters: Vec<Parameter> = all
        .filter_map(|node| {
            let content = node.children().find(|child| child.has_tag_name("content"));
            Some(Parameter {
                name: node.attribute("name")?.to_owned(),
                also: node.attribute("obsoletes").map(str::to_owned),
                required: node.attribute("required") == Some("1"),
                default: content.is_some_and(|content| content.has_attribute("default")),
            })
        })
        .collect();
    if parameters.is_empty() { Err("it has no parameters".into()) } else { Ok(parameters) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hotspare_config::FenceKind;
    use std::time::Duration;

    const XML: &str = r#"<?xml version="1.0" ?>
<resource-agent name="fence_x" shortdesc="x"><parameters>
<parameter name="action" unique="0" required="1"><content type="string" default="reboot"/></parameter>
<parameter name="ip" unique="0" required="1" obsoletes="ipaddr"><content type="string"/></parameter>
<parameter name="plug" unique="0" required="1" obsoletes="port"><content type="string"/></parameter>
<parameter name="password" unique="0" required="0" obsoletes="passwd"><content type="string"/></parameter>
</parameters></resource-agent>"#;

    fn look(xml: &str, options: &[&str], secrets: &[&str]) -> Vec<String> {
        let all = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), "x".to_owned())).collect();
        let kind = FenceKind::Agent("fence_x".into());
        let timeout = Duration::from_secs(1);
        wrong(xml, &Fence { kind, level: 1, timeout, options: all(options), secrets: all(secrets) })
    }

    #[test]
    fn options_are_looked_through_by_the_names_that_the_agent_gives_them() {
        assert_eq!(look(XML, &["ip", "plug"], &["password"]), Vec::<String>::new());
        assert_eq!(look(XML, &["ipaddr", "port"], &["passwd"]), Vec::<String>::new(), "older names");
        assert_eq!(look(XML, &["ip"], &[]), ["it needs the option `plug`"]);
        assert_eq!(
            look(XML, &["ip", "plug", "pasword"], &[]),
            ["it has no option `pasword`; did you mean `password`?"]
        );
    }

    #[test]
    fn what_is_no_metadata_is_said_to_be_none() {
        for xml in ["", "no XML", "<html/>", "<resource-agent/>", "<resource-agent><parameters>"] {
            let said = look(xml, &[], &[]);
            assert!(said.len() == 1 && said[0].contains("not understood"), "{said:?}");
        }
    }
}

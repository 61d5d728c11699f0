//! Wrong documents of about 15 kB, with mistakes of syntax and of meaning spread over them.

pub fn native() -> String {
    let mut text = String::from("schema = 1\n");
    for i in 0..108 {
        let (image, restart, comma) = match i {
            10 => ("\"Bad Image\"", "always", ""),
            30 => ("\"a\"", "allways", ""),
            50 => ("\"a", "always", ""),
            70 => ("\"a\"", "always", "x"),
            90 => ("\"a\"", "always\"\ncolour = \"red", ""),
            _ => ("\"r.example/a/b\"", "always", ""),
        };
        text += &format!(
            "[container.c{i}]\nimage = {image}\nrestart = \"{restart}\"\nports = [\"{}:80\"]{comma}\nenv = {{ A = \"b\" }}\n\
             mounts = [{{ type = \"tmpfs\", target = \"/tmp\" }}]\n",
            8000 + i
        );
    }
    text
}

pub fn cloud_config() -> String {
    let mut text = String::from("#cloud-config\nhostname: \"web\nusers:\n");
    for i in 0..75 {
        text += &format!("  - name: u{i}\n    groups: [wheel, docker]\n    shell: /bin/bash\n");
    }
    text += "timezone UTC\nwrite_files:\n";
    for i in 0..125 {
        let (permissions, tail) = match i {
            20 => ("755", ""),
            60 => ("\"0644\"", "   "),
            _ => ("\"0644\"", ""),
        };
        text += &format!(
            "  - path: /etc/app/f{i}.conf\n{tail}    permissions: {permissions}\n    content: |\n      key = {i}\n      b: x\n"
        );
    }
    text + "runcmd:\n  - echo x\n"
}

pub fn mime() -> String {
    let head = "Content-Type: multipart/mixed; boundary=\"X\"\n\n--X\nContent-Type: text/cloud-config\n\n";
    format!("{head}{}--X--\n", cloud_config())
}

pub fn network_1() -> String {
    let mut text = String::from("version: 1\nconfig:\n");
    for i in 0..85 {
        let (kind, address, tail) = match i {
            10 => ("fysical", "10.0.{i}.2/24", ""),
            25 => ("physical", "10.0.300.2/24", ""),
            40 => ("physical", "10.0.{i}.2/24", "   "),
            55 => ("physical", "\"10.0.{i}.2/24", ""),
            70 => ("physical", "dns.example", ""),
            _ => ("physical", "10.0.{i}.2/24", ""),
        };
        let address = address.replace("{i}", &i.to_string());
        text += &format!(
            "  - type: {kind}\n    name: e{i}\n{tail}    mac_address: \"52:54:00:12:34:{i:02x}\"\n    mtu: 1500\n    subnets:\n\
             \x20     - type: static\n        address: {address}\n        dns_nameservers: [192.0.2.53]\n"
        );
    }
    text
}

pub fn network_2() -> String {
    let mut text = String::from("network:\n  version: 2\n  ethernets:\n");
    for i in 0..95 {
        let (addresses, mtu, tail) = match i {
            10 => ("[10.0.{i}.2/24", "1500", ""),
            30 => ("[10.0.300.2/24]", "1500", ""),
            50 => ("[10.0.{i}.2/24]", "big", ""),
            70 => ("[10.0.{i}.2/24]", "1500", "   "),
            90 => ("[10.0.{i}.2/24]", "1500: 1", ""),
            _ => ("[10.0.{i}.2/24]", "1500", ""),
        };
        let addresses = addresses.replace("{i}", &i.to_string());
        text += &format!(
            "    e{i}:\n      match:\n        macaddress: \"52:54:00:12:34:{i:02x}\"\n{tail}      mtu: {mtu}\n\
             \x20     addresses: {addresses}\n      nameservers:\n        addresses: [192.0.2.53]\n"
        );
    }
    text
}

pub fn network_data() -> String {
    let (mut links, mut networks) = (Vec::new(), Vec::new());
    for i in 0..78 {
        let (mac, kind, address) = match i {
            10 => ("fa:16:3e", "ipv4", "10.0.1.2"),
            25 => ("fa:16:3e:00:00", "ipv4", "10.0.1.2"),
            40 => ("fa:16:3e:00:00:{i}", "ipx", "10.0.1.2"),
            55 => ("fa:16:3e:00:00:{i}", "ipv4", "10.0.300.2"),
            _ => ("fa:16:3e:00:00:{i}", "ipv4", "10.0.{n}.2"),
        };
        let mac = mac.replace("{i}", &format!("{i:02x}"));
        let address = address.replace("{n}", &i.to_string());
        // A key without its quotes.
        let mtu = if i == 60 { "mtu 1500" } else { "\"mtu\": 1500" };
        links.push(format!(
            "    {{\"id\": \"e{i}\", \"type\": \"phy\", {mtu}, \"ethernet_mac_address\": \"{mac}\"}}"
        ));
        networks.push(format!(
            "    {{\"id\": \"n{i}\", \"link\": \"e{i}\", \"type\": \"{kind}\", \"ip_address\": \"{address}\", \"netmask\": \"255.255.255.0\"}}"
        ));
    }
    let (links, networks) = (links.join(",\n"), networks.join(",\n"));
    format!("{{\n  \"links\": [\n{links}\n  ],\n  \"networks\": [\n{networks}\n  ]\n}}\n")
}

pub fn meta_data() -> String {
    let mut text = String::from("instance-id: [a]\nlocal-hostname: a_b\nmade by hand\npublic-keys:\n");
    for i in 0..160 {
        let key = match i {
            50 => "ssh-ed25519 x".to_owned(),
            100 => "nothing".to_owned(),
            _ => {
                format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAzKfjUkBvcDtpZDPDM4dFT+PX8QgvTzKacsDX322N2 u{i}@laptop")
            }
        };
        text += &format!("  - {key}\n");
    }
    text
}

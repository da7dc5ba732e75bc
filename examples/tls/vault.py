import bee_core


class Vault:
    def open(self, name: str) -> str:
        certificate = bee_core.current_call().peer_certificate
        who = [value for kind, value in certificate["subjectAltName"] if kind == "email"]
        if name == "invoices" and "billing@example.org" not in who:
            raise PermissionError(f"{', '.join(who)} may not open the invoices")
        return f"the {name}, opened for {', '.join(who)}"

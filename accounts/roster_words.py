"""What the columns of a roster are called, in the languages that its tables come in."""

NAME, EMAIL, FIRST, LAST, FULL = "name", "email", "first_name", "last_name", "full_name"
# What columns are called, without case, accents and punctuation; in the order of preference.
LOGINS = (
    "username", "login", "loginid", "sisloginid", "netid", "uniqname", "userid", "uid", "user",
    "account", "kerberos", "andrewid", "sunetid", "cnetid", "ucinetid", "computingid", "crsid",
    "onyen", "rzkennung", "identifier", "rosteridentifier", "executor", "hostname", "host",
    "loginname", "userlogin", "sislogin", "samaccountname", "userprincipalname",
    "benutzername", "anmeldename", "benutzerkennung", "kennung", "nutzername", "nomdutilisateur",
    "identifiant", "nombredeusuario", "usuario",
    "nomeutente", "nomedeusuario", "nomedeutilizador", "gebruikersnaam", "anvandarnamn",
    "brukernavn", "brugernavn", "kayttajatunnus", "uzivatelskejmeno", "nazwauzytkownika",
)  # fmt: skip
ALSO_ROLES = {"user", "account", "host", "usuario"}  # what may stand in any line, too
PERSON = {
    EMAIL: (
        "email", "emailaddress", "mail", "universityemail", "emailadresse", "mailadresse",
        "courriel", "adressedecourriel", "adressemail", "correo", "correoelectronico",
        "direcciondecorreo", "indirizzoemail", "enderecodeemail", "emailadres", "epost",
    ),
    FIRST: (
        "firstname", "firstnames", "givenname", "givennames", "first", "forename", "vorname",
        "prenom", "nombre", "nome", "voornaam", "fornamn", "fornavn", "etunimi",
    ),
    LAST: (
        "lastname", "familyname", "surname", "last", "nachname", "familienname", "nom",
        "nomdefamille", "apellido", "apellidos", "cognome", "sobrenome", "achternaam", "efternamn",
        "etternavn", "efternavn", "sukunimi",
    ),
    FULL: ("name", "fullname", "displayname", "student", "studentname"),
}  # fmt: skip
GROUPS = ("section", "sections", "group", "groups", "role", "roles", "gruppe", "groupe", "grupo")
OTHERS = (*GROUPS, "id", "idnumber", "sid", "studentid", "sisuserid", "sisid")
HEADINGS = {*LOGINS, *OTHERS, *(word for words in PERSON.values() for word in words)}

"""Which scripts the mysql client gets."""

import pytest

from bench_action.stack.mysql_script import DatabaseFilter, refuse_commands
from bench_action.stack.script import ScriptError

pytestmark = pytest.mark.unit

DUMP = """\
/*M!999999\\- enable the sandbox mode */
-- MariaDB dump: \\! id
# system id
/* a comment
system id
*/
/*!40101 SET NAMES utf8mb4 */;
INSERT INTO `system` VALUES ('it''s; \\'
system id', "\\"; \\\\"), (1, '/*');
DELIMITER ;;
CREATE TRIGGER t BEFORE INSERT ON item FOR EACH ROW BEGIN SET NEW.text = 'x'; END ;;
DELIMITER ;
"""


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_refuse_commands__gives_out_a_dump_as_it_is(size: int) -> None:
    chunks = [DUMP[at : at + size] for at in range(0, len(DUMP), size)]
    assert "".join(refuse_commands(chunks)) == DUMP


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("system id", 1),
        ("SELECT 1;\nSELECT 2; \\! id", 2),
        ("/* a\n */ source /etc/passwd;", 2),
        ("SELECT 'a\n';\n  tee /tmp/x", 3),
        ("DELIMITER x\nsystem id x", 1),
        ("SELECT 1 /*My comment*/;\npager sh", 2),
        ("USE other;", 1),
    ],
)
def test_refuse_commands__names_the_line_of_a_command(text: str, line: int) -> None:
    for chunks in ([text], list(text)):
        with pytest.raises(ScriptError, match="a command of the mysql client") as caught:
            list(refuse_commands(chunks))
        assert caught.value.line == line


def test_refuse_commands__allows_no_change_of_how_quotes_are_read() -> None:
    assert list(refuse_commands(["charset utf8mb4;\n"])) == ["charset utf8mb4;\n"]
    with pytest.raises(ScriptError, match="a command of the mysql client"):
        list(refuse_commands(["charset gbk\n"]))  # in which a character may end in a backslash
    with pytest.raises(ScriptError, match="changes how quotes are read") as caught:
        list(refuse_commands(["SELECT 1;\n", "SET sql_mode = 'ANSI,NO_BACKSLASH_ESCAPES';\n"]))
    assert caught.value.line == 2


OF_DATABASES = """\
-- Current Database: `prod`
/*!40000 DROP DATABASE IF EXISTS `prod`*/;
CREATE DATABASE /*!32312 IF NOT EXISTS*/ `prod` /*!40100 DEFAULT CHARACTER SET utf8mb4 */;\r
USE `prod`;
CREATE TABLE item (text text);
INSERT INTO item VALUES ('
USE `data`;
CREATE DATABASE data;
'), ('x');
SELECT 1 FROM item
USE INDEX (a);
ALTER DATABASE `prod` CHARACTER SET latin1 COLLATE latin1_swedish_ci ;
"""


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_database_filter__leaves_out_what_is_about_the_database_of_a_dump(size: int) -> None:
    databases = DatabaseFilter()
    chunks = [OF_DATABASES[at : at + size] for at in range(0, len(OF_DATABASES), size)]
    left = "".join(refuse_commands(chunks, databases=databases)).split("\n")
    lines = OF_DATABASES.split("\n")
    assert left == [line if number not in {1, 2, 3, 11} else "" for number, line in enumerate(lines)]
    assert databases.summarise("shop") == "skipped 4 statements about the database prod: its tables go to shop"
    assert databases.summarise("prod") == ""


def test_database_filter__refuses_a_second_database() -> None:
    with pytest.raises(ScriptError, match="more than one database") as caught:
        list(refuse_commands([OF_DATABASES, "use other\n"], databases=DatabaseFilter()))
    assert caught.value.line == OF_DATABASES.count("\n") + 1
    with pytest.raises(ScriptError, match="a command of the mysql client"):
        list(refuse_commands(["SELECT 1; USE other; SELECT 2;"], databases=DatabaseFilter()))

import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import liquibase.Scope;
import liquibase.command.CommandScope;
import liquibase.command.core.UpdateCommandStep;
import liquibase.command.core.helpers.DatabaseChangelogCommandStep;
import liquibase.command.core.helpers.DbUrlConnectionArgumentsCommandStep;
import liquibase.database.Database;
import liquibase.database.DatabaseFactory;
import liquibase.database.jvm.JdbcConnection;
import liquibase.resource.DirectoryResourceAccessor;
import liquibase.resource.ResourceAccessor;

/** Runs Liquibase's update: LiquibasePeer folder */
public class LiquibasePeer {
    public static void main(String[] arguments) throws Exception {
        try (Connection connection = DriverManager.getConnection(
                System.getenv("PEER_URL"), System.getenv("PEER_USER"), System.getenv("PEER_PASSWORD"));
             ResourceAccessor files = new DirectoryResourceAccessor(Path.of(arguments[0]))) {
            Database database = DatabaseFactory.getInstance()
                .findCorrectDatabaseImplementation(new JdbcConnection(connection));
            Scope.child(Scope.Attr.resourceAccessor, files, () -> new CommandScope(UpdateCommandStep.COMMAND_NAME)
                .addArgumentValue(DbUrlConnectionArgumentsCommandStep.DATABASE_ARG, database)
                .addArgumentValue(UpdateCommandStep.CHANGELOG_FILE_ARG, "changelog.sql")
                .execute());
        }
    }
}

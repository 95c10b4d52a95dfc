import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import org.flywaydb.core.Flyway;
import org.flywaydb.core.api.MigrationInfo;

/** Runs one of Flyway's commands: FlywayPeer migrate|validate|repair|baseline|info folder [setting=value ...] */
public class FlywayPeer {
    public static void main(String[] arguments) {
        Map<String, String> settings = new HashMap<>();
        for (String pair : Arrays.copyOfRange(arguments, 2, arguments.length)) {
            int equals = pair.indexOf('=');
            settings.put(pair.substring(0, equals), pair.substring(equals + 1));
        }
        Flyway flyway = Flyway.configure()
            .dataSource(System.getenv("PEER_URL"), System.getenv("PEER_USER"), System.getenv("PEER_PASSWORD"))
            .locations("filesystem:" + arguments[1])
            .configuration(settings)
            .load();
        switch (arguments[0]) {
            case "migrate" -> flyway.migrate();
            case "validate" -> flyway.validate();
            case "repair" -> flyway.repair();
            case "baseline" -> flyway.baseline();
            case "info" -> {
                for (MigrationInfo each : flyway.info().all()) {
                    System.out.println(each.getState() + "|" + each.getVersion() + "|" + each.getDescription());
                }
            }
            default -> throw new IllegalArgumentException(arguments[0]);
        }
    }
}

ADD JAR '/x.jar';
